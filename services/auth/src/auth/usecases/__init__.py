"""One thing that auth does per file."""
