"""Rules about frames and their order, without I/O."""
