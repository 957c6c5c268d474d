"""Tables and migrations of the gateway's database."""
