"""Decides what the outside sees over HTTP."""
