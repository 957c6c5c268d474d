"""Websockets in."""
