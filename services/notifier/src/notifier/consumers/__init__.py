"""The event stream in."""
