"""What a node class may do to other tenants and to its node: the reviewed stock classes, and the roles of inputs."""
