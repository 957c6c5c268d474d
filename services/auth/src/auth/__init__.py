"""The auth service: accounts, credentials, sessions, tiers and the audit log."""
