"""The speed and the size of a large history: `make bench-history`."""
