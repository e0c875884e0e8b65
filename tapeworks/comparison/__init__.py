"""The differences of runs, and apart from them their display."""
