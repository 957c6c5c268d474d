"""Writes every file that is generated from the contracts, and reports stale ones."""
