"""Rules about credentials, accounts and tiers, without I/O."""
