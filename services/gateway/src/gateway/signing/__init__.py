"""Keys and signatures, and signed links to outputs, for browsers and without a credential."""
