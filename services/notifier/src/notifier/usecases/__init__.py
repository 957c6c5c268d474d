"""Use cases of the notifier: follow jobs for their viewers."""
