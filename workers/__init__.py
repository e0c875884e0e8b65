"""The Celery workers: one shard task, and what passes through Redis."""
