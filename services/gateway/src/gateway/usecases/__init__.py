"""What the gateway does, one thing a module; HTTP and the door share them."""
