"""The face of Tapeworks: command line, settings, the embedded cluster."""
