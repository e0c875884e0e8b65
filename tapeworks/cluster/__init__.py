"""Redis and workers that a command starts for itself, and its progress."""
