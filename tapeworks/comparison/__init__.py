"""What tells runs apart, apart from how it is shown."""
