"""HTTP in: parse, one use case, render."""
