"""One thing that the scheduler does per file."""
