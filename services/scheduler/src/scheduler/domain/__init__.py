"""The rules of the scheduler, without I/O: job states, workflow checks, limits and settlement."""
