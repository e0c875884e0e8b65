"""Runs from their claim to their end."""
