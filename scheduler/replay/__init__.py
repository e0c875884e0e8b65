"""Stored iterations, computed again and compared."""
