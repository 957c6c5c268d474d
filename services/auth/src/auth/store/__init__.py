"""Where auth keeps what it knows."""
