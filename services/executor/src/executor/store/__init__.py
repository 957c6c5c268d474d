"""The executor's journal."""
