"""What the services say to each other, and nothing about how it travels."""
