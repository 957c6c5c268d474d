"""The notifier's database."""
