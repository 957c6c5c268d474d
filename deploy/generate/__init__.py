"""Writes every file that is made from the contracts, and tells which of them are stale."""
