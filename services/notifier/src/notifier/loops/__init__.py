"""Time in: one periodic duty a module."""
