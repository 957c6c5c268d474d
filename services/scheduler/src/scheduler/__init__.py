"""Decides what runs next, where, and what it costs."""
