"""The gateway service: serves the HTTP API, the web console and the NATS API for external systems."""
