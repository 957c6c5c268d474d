"""The use cases of the scheduler, one per module."""
