"""Runs the whole system on one machine, without Docker, and keeps it running."""
