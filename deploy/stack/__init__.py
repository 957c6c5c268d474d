"""Runs the whole system on one machine, without Docker, and restarts processes that die."""
