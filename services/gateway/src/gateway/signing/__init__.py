"""Signed links to outputs, for browsers and without a credential."""
