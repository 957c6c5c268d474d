"""Reads and writes the artifact store, and responds with its bytes. The database tables are in gateway.store."""
