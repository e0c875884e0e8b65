"""The web page over a large history: `make bench-web`."""
