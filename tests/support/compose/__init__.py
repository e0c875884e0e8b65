"""Compose files without a container engine: read, judged, and run in namespaces of our own."""
