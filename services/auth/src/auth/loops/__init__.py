"""Periodic tasks of auth, one per module."""
