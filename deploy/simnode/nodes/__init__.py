"""The node classes that a simulated server offers, grouped by what they work on."""
