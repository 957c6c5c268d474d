"""Authenticates requests to the public services (gateway and notifier) without asking auth every time."""
