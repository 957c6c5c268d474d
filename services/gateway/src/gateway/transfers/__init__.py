"""Signed links by which executors download inputs and upload outputs."""
