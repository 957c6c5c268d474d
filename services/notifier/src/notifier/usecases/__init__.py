"""Use cases of the notifier: follow jobs and serve their viewers."""
