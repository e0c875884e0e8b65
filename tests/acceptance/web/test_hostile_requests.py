"""Bytes that no client of good will sends: the page refuses them, writes nothing, and lives on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tapeworks.storage.history import History
from tests.support import hostile
from tests.support.hostile import Sender
from tests.support.made_up import LEASE, commit, submit
from tests.support.processes import Start
from tests.support.training import database
from tests.support.web import Served, serve

TOKEN = "a-token-of-many-characters"


@pytest.fixture
def stored(places: Path) -> Iterator[History]:
    """A run with iterations."""
    history = database(places)
    claim = history.claim(submit(history, name="mine", tags={"a": "b"}).id, "alice", LEASE)
    for number in range(3):
        commit(history, claim, number)
    yield history
    history.database.close()


@pytest.fixture
def served(stored: History, places: Path, start: Start) -> Served:
    (places / "token").write_text(f"{TOKEN}\n")
    return serve(start, "--token-file", "token")


@pytest.fixture
def sender(served: Served, stored: History) -> Iterator[Sender]:
    """The sender of the requests. Afterwards the server is well, and nothing was written."""
    before = everything(stored)
    sender = Sender(served.address, TOKEN, stored.find_run("mine").id)
    yield sender
    assert sender.send(sender.request(b"GET", b"/runs/mine")) == 200
    assert everything(stored) == before
    assert "Traceback" not in served.process.err
    assert "unexpected error" not in served.process.err


def everything(history: History) -> list[Any]:
    """All that a request could change."""
    return [(run, history.tags(run.id), history.events(run.id)) for run in history.runs()]


def expect_no_crash(sender: Sender, requests: Iterable[bytes]) -> None:
    for request in requests:
        status = sender.send(request)
        assert status is None or status < 500, (status, request[:500])


def test_requests_that_are_none_are_refused(sender: Sender) -> None:
    for request in hostile.broken(sender):
        status = sender.send(request)
        assert status is None or 300 <= status < 500, (status, request[:500])
    for request in hostile.unfinished(sender):
        sender.send(request, is_whole=False)
    draw = random.Random(1)
    for name in ("texts_in_every_place", "bodies_for_everything", "headers_everywhere"):
        cases = list(getattr(hostile, name)(sender))
        expect_no_crash(sender, draw.sample(cases, 150))


@pytest.mark.long
def test_no_text_no_body_and_no_header_ends_in_a_crash(sender: Sender) -> None:
    expect_no_crash(sender, hostile.texts_in_every_place(sender))
    expect_no_crash(sender, hostile.bodies_for_everything(sender))
    expect_no_crash(sender, hostile.headers_everywhere(sender))
    expect_no_crash(sender, hostile.drawn(sender, random.Random(2), 5000))
