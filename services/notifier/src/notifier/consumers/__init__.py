"""Consumers of event streams."""
