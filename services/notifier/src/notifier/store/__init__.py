"""PostgreSQL stores of the notifier."""
