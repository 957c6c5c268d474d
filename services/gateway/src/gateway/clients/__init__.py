"""What the gateway talks to besides NATS and its own store."""
