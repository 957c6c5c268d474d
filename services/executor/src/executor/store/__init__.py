"""What an executor remembers when it dies."""
