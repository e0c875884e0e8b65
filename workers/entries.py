"""The queue's entries as Celery writes them, taken apart before Celery reads them.

An entry carries more than a message: the name of any task, a content type, tasks to run afterwards,
a time to wait for, a place to put it back to. Nothing of it is signed, so nothing of it is taken
but the one argument of the one task; the rest is written anew. What is no such entry is dropped.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from workers.limits import LARGEST_ENTRY_BYTES

#: The one task, by name, so that a scheduler can send it without loading TensorFlow.
TASK = "tapeworks.compute_shard"

#: The queue of messages that any worker may answer.
QUEUE = "shards"


class _Headers(BaseModel):
    task: Literal["tapeworks.compute_shard"]
    id: Annotated[str, Field(pattern=r"^[0-9a-f-]{1,64}$")]


class _Properties(BaseModel):
    body_encoding: Literal["base64"]


class _Entry(BaseModel):
    body: str
    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]
    content_encoding: Annotated[Literal["utf-8"], Field(alias="content-encoding")]
    headers: _Headers
    properties: _Properties


#: Arguments, named arguments, and what Celery would do afterwards: nothing.
_BODY: TypeAdapter[tuple[tuple[str], dict[str, None], dict[str, None]]] = TypeAdapter(
    tuple[
        tuple[str],
        Annotated[dict[str, None], Field(max_length=0)],
        Annotated[dict[str, None], Field(max_length=16)],
    ]
)


def queue_name(fingerprint: str | None) -> str:
    """Return the queue of messages that workers of this fingerprint may answer; None: any worker.

    A worker takes messages from the common queue and from the queue of its own fingerprint. What it
    could only refuse is not offered to it.
    """
    return f"{QUEUE}.{fingerprint}" if fingerprint else QUEUE


def rewritten(entry: bytes, queue: str = QUEUE) -> bytes | None:
    """The entry with nothing from outside but its task's argument; None if it is to be dropped.

    A worker that leaves in order gives it back to the `queue` that it came from.
    """
    if len(entry) > LARGEST_ENTRY_BYTES:
        return None
    try:
        read = _Entry.model_validate_json(entry)
        (argument,), _, _ = _BODY.validate_json(base64.b64decode(read.body, validate=True))
        body = json.dumps([[argument], {}, {}]).encode()
    except (ValidationError, binascii.Error, ValueError):
        return None
    return json.dumps(_entry(read.headers.id, body, queue)).encode()


def _entry(task_id: str, body: bytes, queue: str) -> dict[str, object]:
    return {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "task": TASK,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "lang": "py",
            "expires": None,  # by two clocks; how far the run is tells what is stale
            "argsrepr": "",
            "kwargsrepr": "",
        },
        "properties": {
            "body_encoding": "base64",
            "correlation_id": task_id,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "priority": 0,
        },
    }
