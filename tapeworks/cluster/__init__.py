"""Redis, workers and web page that a command starts for itself, its progress, and work apart."""
