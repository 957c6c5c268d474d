"""The admin feature that pairs the artifact store with the database and deletes orphans."""
