"""The scheduler's database, the source of truth about jobs. All SQL of the scheduler is here."""
