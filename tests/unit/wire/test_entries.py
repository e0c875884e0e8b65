"""Entries of the queue: Celery's message protocol, byte by byte what we write, or nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery.app.task import Context
from kombu import Exchange, Queue

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.wire.envelopes import QUEUE, TASK, argument, entry, queue_name
from tapeworks.wire.keys import QUEUE_KEY
from tapeworks.wire.limits import LARGEST_ENTRY_BYTES
from tapeworks.workers.app import app
from tests.support.entries import EMBEDDED, body, changed

CANVAS = {"task": "celery.group", "args": [], "kwargs": {}, "options": {"queue": "elsewhere"}}

#: What `send_task` writes into each message and we do not, or otherwise, and the reason.
DIFFERENT = {
    "headers.id": "random, as Celery's, without hyphens",
    "headers.root_id": "the same id",
    "headers.origin": "names the sender's process and host; no worker reads it",
    "headers.argsrepr": "for logs and events, which no worker of ours writes",
    "headers.kwargsrepr": "for logs and events, which no worker of ours writes",
    "properties.correlation_id": "the same id",
    "properties.delivery_tag": "random, as Celery's: the same id",
    "properties.reply_to": "where results go that nobody sends",
}


@pytest.fixture(scope="module")
def sent() -> Iterator[dict[str, Any]]:
    """An entry as Celery writes it, in its parts."""
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        app.use_redis(server.url)
        queue = Queue(QUEUE, Exchange(""), routing_key=QUEUE)
        with app.connection_for_write() as connection:
            app.send_task(TASK, args=["sealed"], queue=queue, connection=connection)
        yield parts(client.lpop(QUEUE_KEY))


def parts(raw: Any) -> dict[str, Any]:
    """Every field of an entry, by its path."""
    found: dict[str, Any] = json.loads(raw)
    arguments, named, embedded = json.loads(base64.b64decode(found.pop("body")))
    flat = {"args": arguments, "kwargs": named}
    flat |= {f"embed.{name}": value for name, value in embedded.items()}
    for part in ("headers", "properties"):
        flat |= {f"{part}.{name}": value for name, value in found.pop(part).items()}
    return {**flat, **found}


def test_an_entry_is_what_celery_writes_field_by_field(sent: dict[str, Any]) -> None:
    ours = parts(entry("sealed"))
    assert set(ours) <= set(sent), "nothing of our own"
    for path, value in sent.items():
        if path in DIFFERENT:
            assert value != ours.get(path), f"{path}: {DIFFERENT[path]}"
        elif path in ours:
            assert ours[path] == value, path
        else:  # what Celery's workers take for granted where it is missing
            assert value in (None, 0, {}, [None, None], ""), path
            assert not getattr(Context, path.partition(".")[2], None), path


@pytest.mark.parametrize("queue", [QUEUE, queue_name("ab" * 8)])
@pytest.mark.parametrize(
    "sealed", ["{}", "", 'with "quotes"\nand \\ and ü and \U0001f600', "x" * 9]
)
def test_an_entrys_argument_is_read_as_it_was_written(sealed: str, queue: str) -> None:
    assert argument(entry(sealed, queue), queue) == sealed


def test_two_entries_with_the_same_argument_are_two_messages() -> None:
    assert entry("{}") != entry("{}")


RIGHT = entry("{}")


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b"\x80\x04.",
        b" " * (LARGEST_ENTRY_BYTES + 1),
        entry("x" * LARGEST_ENTRY_BYTES),
        entry("{}", "shards.elsewhere"),
        RIGHT + b" ",
        RIGHT[:-1],
        RIGHT.replace(b": ", b":"),
        changed(RIGHT, headers={"task": "celery.group"}),
        changed(RIGHT, headers={"task": [TASK]}),
        changed(RIGHT, headers={"id": "x\n"}),
        changed(RIGHT, headers={"id": "AB" * 16}),
        changed(RIGHT, headers={"eta": "2999-01-01T00:00:00+00:00"}),
        changed(RIGHT, headers={"chord": CANVAS, "group": "g", "timelimit": [0, 0]}),
        changed(RIGHT, headers={"compression": "gzip"}),
        changed(RIGHT, headers={"expires": "2001-01-01T00:00:00+00:00"}),
        changed(RIGHT, headers={"reply_to": "x"}),
        changed(RIGHT, properties={"body_encoding": "x"}),
        changed(RIGHT, properties={"priority": 10**9}),
        changed(RIGHT, properties={"delivery_tag": "x" * 1000}),
        changed(RIGHT, properties={"delivery_info": None}),
        changed(RIGHT, properties={"delivery_info": {"exchange": "", "routing_key": "elsewhere"}}),
        changed(RIGHT, top={"content-type": "application/x-python-serialize"}),
        changed(RIGHT, top={"content-encoding": "binary"}),
        changed(RIGHT, top={"body": "no base64"}),
        changed(RIGHT, top={"body": base64.b64encode(b"[" * 100_000).decode()}),
        changed(RIGHT, top={"body": base64.b64encode(b"[[" * 100_000).decode()}),
        changed(RIGHT, top={"body": base64.b64encode(b'[["\xff"], {}, {}]').decode()}),
        changed(RIGHT, top={"body": base64.b64encode(b'[["{}], {}, {}]').decode()}),
        changed(RIGHT, top={"body": body(["{}", "{}"], {}, {})}),
        changed(RIGHT, top={"body": body([{}], {}, {})}),
        changed(RIGHT, top={"body": body(["{}"], {"sealed": None}, {})}),
        changed(RIGHT, top={"body": body(["{}"], {}, EMBEDDED)}),
        changed(RIGHT, top={"body": body(["{}"], {}, {"callbacks": [CANVAS]})}),
        changed(RIGHT, top={"body": body(["{}"], {}, {"errbacks": [CANVAS]})}),
        changed(RIGHT, top={"body": body(["{}"], {}, {"chain": [CANVAS]})}),
        changed(RIGHT, top={"body": body(["{}"], {}, {"chord": CANVAS})}),
    ],
)
def test_what_no_scheduler_sends_is_dropped(spoilt: bytes) -> None:
    assert argument(spoilt) is None


def test_the_changes_above_are_what_spoils_an_entry() -> None:
    assert changed(RIGHT) == RIGHT
    assert argument(RIGHT) == "{}"
