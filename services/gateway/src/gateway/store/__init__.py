"""The gateway's database and its artifact store."""
