"""HTTP clients of the executor: its node and the gateway's object storage."""
