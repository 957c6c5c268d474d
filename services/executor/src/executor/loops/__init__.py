"""What an executor does again and again."""
