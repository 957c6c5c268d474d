"""PostgreSQL stores of auth."""
