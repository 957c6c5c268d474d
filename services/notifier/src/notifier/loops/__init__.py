"""Periodic tasks of the notifier."""
