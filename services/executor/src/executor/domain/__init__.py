"""What an attempt is and means: no network, no clock, no disk."""
