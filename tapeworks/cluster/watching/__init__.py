"""A run or several that are followed while they are computed, wherever that is."""
