"""Redis, workers and web page that a command starts for itself, and its progress."""
