"""Signing keys, signatures, and signed links with which browsers read outputs without a credential."""
