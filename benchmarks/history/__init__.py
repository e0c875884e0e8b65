"""How fast a large history answers, and how much room it takes: `make bench-history`."""
