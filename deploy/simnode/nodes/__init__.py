"""The node classes of a simulated server, grouped by data type."""
