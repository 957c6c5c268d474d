"""Upper bounds of what a graph produces, computed from the graph alone and compared with a tenant's limits.

``bound_x`` returns an upper bound of the size of x; it changes nothing. If it takes names or limits instead of a node,
it returns a rule: a function that does so for a node.
"""
