"""Rules about attempts and node responses, without I/O."""
