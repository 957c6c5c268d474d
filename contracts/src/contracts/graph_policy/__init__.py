"""Which node classes a tenant may run, and what their inputs may name."""
