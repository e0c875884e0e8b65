"""Entries of the queue: of ours, the argument; of all others, nothing."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.entries import argument, body, entry
from workers.entries import TASK, queue_name, rewritten
from workers.limits import LARGEST_ENTRY_BYTES

CANVAS = {"task": "celery.group", "args": [], "kwargs": {}, "options": {"queue": "elsewhere"}}


def test_an_entry_keeps_its_argument_and_its_id() -> None:
    [checked] = kept(entry("{}"))
    assert argument(checked) == "{}"
    assert json.loads(checked)["headers"]["id"] == "ab-12"


@pytest.mark.parametrize(
    "headers",
    [
        {"eta": "2999-01-01T00:00:00+00:00"},
        {"chord": CANVAS, "group": "g", "timelimit": [0, 0], "retries": -1},
        {"compression": "gzip"},
        {"expires": "2999-01-01T00:00:00+00:00"},
        {"expires": "2001-01-01T00:00:00+00:00"},
        {"expires": "0001-01-01T00:00:00+23:59"},
        {"reply_to": "x", "x" * 1000: None},
    ],
)
def test_what_else_its_headers_say_is_not_taken(headers: dict[str, Any]) -> None:
    [checked] = kept(entry("{}", headers=headers))
    clean = json.loads(checked)
    assert set(clean["headers"]) == set(json.loads(kept(entry("{}"))[0])["headers"])
    assert clean["headers"]["expires"] is None, "another machine's clock decides nothing"


@pytest.mark.parametrize(
    "properties", [{"priority": 10**9}, {"delivery_tag": "x" * 1000}, {"delivery_info": None}]
)
def test_what_else_its_properties_say_is_not_taken(properties: dict[str, Any]) -> None:
    [checked] = kept(entry("{}", properties=properties))
    clean = json.loads(checked)["properties"]
    assert clean["priority"] == 0
    assert len(clean["delivery_tag"]) == 36
    assert clean["delivery_info"] == {"exchange": "", "routing_key": "shards"}


def test_a_message_that_is_given_back_goes_where_it_came_from() -> None:
    checked = rewritten(entry("{}"), queue_name("0" * 16))
    assert checked is not None
    place = json.loads(checked)["properties"]["delivery_info"]
    assert place == {"exchange": "", "routing_key": f"shards.{'0' * 16}"}


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b"\x80\x04.",
        b" " * (LARGEST_ENTRY_BYTES + 1),
        entry("{}", headers={"task": "celery.group"}),
        entry("{}", headers={"task": [TASK]}),
        entry("{}", headers={"id": "x\n"}),
        entry("{}", properties={"body_encoding": "x"}),
        entry("{}", top={"content-type": "application/x-python-serialize"}),
        entry("{}", top={"content-encoding": "binary"}),
        entry("{}", top={"body": "no base64"}),
        entry("{}", top={"body": base64.b64encode(b"[" * 100_000).decode()}),
        entry("{}", top={"body": body(["{}", "{}"], {}, {})}),
        entry("{}", top={"body": body([{}], {}, {})}),
        entry("{}", top={"body": body(["{}"], {"sealed": None}, {})}),
        entry("{}", top={"body": body(["{}"], {}, {"callbacks": [CANVAS]})}),
        entry("{}", top={"body": body(["{}"], {}, {"errbacks": [CANVAS]})}),
        entry("{}", top={"body": body(["{}"], {}, {"chain": [CANVAS]})}),
        entry("{}", top={"body": body(["{}"], {}, {"chord": CANVAS})}),
    ],
)
def test_what_no_scheduler_sends_is_dropped(spoilt: bytes) -> None:
    assert kept(spoilt) == []


def kept(raw: bytes) -> list[bytes]:
    checked = rewritten(raw)
    return [] if checked is None else [checked]
