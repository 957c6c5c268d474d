"""Keys, users and tiers: what they are, without where they are kept."""
