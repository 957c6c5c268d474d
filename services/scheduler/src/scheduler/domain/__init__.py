"""What a job may become, what a workflow needs, what a tenant may use: rules without I/O."""
