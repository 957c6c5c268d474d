"""Periodic tasks of the scheduler."""
