"""Who stands at a public door: what gateway and notifier know of credentials, without asking auth each time."""
