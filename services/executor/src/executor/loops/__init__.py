"""Loops of the executor."""
