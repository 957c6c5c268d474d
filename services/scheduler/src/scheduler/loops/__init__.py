"""What the scheduler does from time to time: one duty per file."""
