"""The scheduler: admits jobs, assigns them to nodes and accounts for what they use."""
