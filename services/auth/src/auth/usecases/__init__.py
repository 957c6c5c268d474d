"""Use cases of auth, one per module."""
