"""Runs as files for other programs: histories, parameters, networks."""
