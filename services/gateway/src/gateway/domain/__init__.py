"""What the outside sees, as pure rules: bodies, graphs, cursors, tokens, ranges."""
