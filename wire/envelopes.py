"""The queue's entries, in Celery's message protocol (version 2), written and read byte by byte.

An entry could carry more than a message: the name of any task, a content type, tasks to run
afterwards, a time to wait for. Nothing of that is signed, so no entry counts but one that is, in
every byte, what `entry` writes for its id, its queue and its one argument. Celery's workers read it
as they read any message.
"""

from __future__ import annotations

import binascii
import json
import re
import uuid

from tapeworks.wire.limits import LARGEST_ENTRY_BYTES

#: The one task, by name, so that a scheduler can send it without loading TensorFlow.
TASK = "tapeworks.compute_shard"

#: The queue of messages that any worker may answer.
QUEUE = "shards"

#: No fingerprint: it is hexadecimal.
RESERVED = "networks"

#: An entry up to its id, and its end behind the body.
_BEGINNING, _END = f'{{"headers": {{"task": "{TASK}", "id": "', b'"}'

#: The id is random: an attempt that is sent twice are two messages to Celery.
_ID = re.compile(rb"[0-9a-f]{32}")

#: The body around the argument: no named arguments, and nothing to be done afterwards.
_OPENING, _CLOSING = "[[", "], {}, {}]"

_DECODER = json.JSONDecoder()


def queue_name(fingerprint: str | None) -> str:
    """Return the queue of messages that workers of this fingerprint may answer; None: any worker.

    A worker takes messages from the common queue and from the queue of its own fingerprint. What it
    could only refuse is not offered to it.
    """
    return f"{QUEUE}.{fingerprint}" if fingerprint else QUEUE


def reserve(fingerprint: str | None) -> str:
    """Return what stands for a fingerprint in the queue of workers that run users' networks.

    A run whose network some worker may not run uses it: they would take its messages in vain.
    """
    return f"{RESERVED}.{fingerprint}" if fingerprint else RESERVED


def entry(argument: str, queue: str = QUEUE) -> bytes:
    """Return a message to the one task with this argument, ready to be pushed onto this queue."""
    body = f"{_OPENING}{json.dumps(argument)}{_CLOSING}"
    head = _head(uuid.uuid4().hex, queue)
    return head + binascii.b2a_base64(body.encode(), newline=False) + _END


def argument(raw: bytes, queue: str = QUEUE) -> str | None:
    """Return the argument of an entry of this queue; None for what `entry` does not write."""
    task_id = raw[len(_BEGINNING) :][:32]
    if len(raw) > LARGEST_ENTRY_BYTES or not _ID.fullmatch(task_id):
        return None
    head = _head(task_id.decode(), queue)
    if not (raw.startswith(head) and raw.endswith(_END)):
        return None
    try:
        return _only_argument(
            binascii.a2b_base64(raw[len(head) : -len(_END)], strict_mode=True).decode()
        )
    except ValueError:  # no base64, no text, no JSON
        return None


def _only_argument(body: str) -> str | None:
    """Return the one string of a body; a body of anything else is not parsed at all."""
    if not body.startswith(f'{_OPENING}"'):
        return None
    found: tuple[str, int] = _DECODER.raw_decode(body, len(_OPENING))
    return found[0] if body[found[1] :] == _CLOSING else None


def _head(task_id: str, queue: str) -> bytes:
    """Return all that stands before the body. What Celery has a default for is left out."""
    return (
        f'{_BEGINNING}{task_id}", "root_id": "{task_id}", "lang": "py"}}, "properties": '
        f'{{"correlation_id": "{task_id}", "delivery_tag": "{task_id}", "delivery_mode": 2, '
        f'"delivery_info": {{"exchange": "", "routing_key": "{queue}"}}, "priority": 0, '
        '"body_encoding": "base64"}, "content-type": "application/json", '
        '"content-encoding": "utf-8", "body": "'
    ).encode()
