"""Shared infrastructure of all services: configuration, connections, processes and telemetry. No domain knowledge."""
