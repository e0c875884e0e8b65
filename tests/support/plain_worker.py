"""A Celery worker that knows nothing of ours but the task's name, and notes what it is told."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

app = Celery("plain", broker=os.environ["PLAIN_WORKER_REDIS"])
app.conf.update(
    broker_transport_options={"global_keyprefix": "tapeworks:"},
    task_default_queue="shards",
    broker_connection_retry_on_startup=True,
)


@app.task(name="tapeworks.compute_shard")  # type: ignore[untyped-decorator]
def note(*arguments: object, **named: object) -> None:
    """Note what this task was given."""
    Path("noted").write_text(repr((arguments, named)))
