"""Upper bounds of what a graph produces, computed from the graph alone and compared with a tenant's limits."""
