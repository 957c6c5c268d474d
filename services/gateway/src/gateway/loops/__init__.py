"""What the gateway does again and again."""
