"""Decides how one attempt goes on its node."""
