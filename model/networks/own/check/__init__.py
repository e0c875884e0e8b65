"""The check of users' networks, in processes of their own, before a run is queued."""
