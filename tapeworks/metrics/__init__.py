"""Metrics of scheduler and worker for Prometheus, whose library the submodules load."""
