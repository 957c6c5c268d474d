"""How much a graph makes at most, and whether that is within a tenant's bounds; decided from the graph alone."""
