"""Use cases of the executor, one per module."""
