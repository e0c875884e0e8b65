"""What scheduler and worker count, for Prometheus. Its library is loaded with the submodules."""
