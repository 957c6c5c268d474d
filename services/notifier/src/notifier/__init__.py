"""Decides who hears about it."""
