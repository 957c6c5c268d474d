"""What an executor does with its node, one thing a file."""
