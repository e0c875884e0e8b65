"""Runs as lines, tables and files for people, and the streams that they go to."""
