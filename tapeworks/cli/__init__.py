"""The command line: options, listings, files."""
