"""What auth does from time to time: one duty per file."""
