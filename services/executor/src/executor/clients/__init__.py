"""What an executor talks to besides NATS: its node, and the store of outputs."""
