"""What the notifier does: follow jobs, and show each viewer all of it."""
