"""The scheduler's database: the truth about jobs."""
