"""Workers' records that nobody stands behind: how much of a run's history and memory they get."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.scheduler.dispatch.link import MOST_GONE_TOLD, Link
from tapeworks.scheduler.events import Event, Notice
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import WorkerRecord
from tapeworks.wire.versions import tapeworks_version
from tests.support.messages import announce

MADE_UP = 300


class Told:
    """Keeps what a run's history would tell."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def tick(self, *, waiting: bool = False) -> None:
        """Nobody keeps a lease."""

    def events(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.kinds.append(event.kind)


@pytest.fixture
def link() -> Iterator[Link]:
    """One of a run that nobody computes."""
    with RedisServer() as server:
        made = Link(server.url)
        made.begin("run", BuiltinNetwork(), None, allow_mixed=False)
        made.join(Told())
        announce(made.exchange, "run", 1, 0)
        yield made
        made.exchange._redis.close()


def show(exchange: Exchange, wave: int, version: str) -> None:
    for number in range(MADE_UP):
        record = WorkerRecord(
            name=f"made-up-{wave}-{number}",
            host="nowhere",
            pid=1,
            since="",
            state="idle",
            fingerprint="aa",
            version=version,
        )
        exchange.register_worker(record)


def hide(exchange: Exchange) -> None:
    for record in exchange.workers():
        exchange.deregister_worker(record.name)


def look(link: Link, told: Told) -> None:
    link._looked_at = float("-inf")
    link.survey_workers("run", told)


def test_made_up_workers_that_vanish_fill_no_history(link: Link) -> None:
    told = Told()
    show(link.exchange, 0, tapeworks_version())
    look(link, told)
    hide(link.exchange)
    look(link, told)
    assert told.kinds.count("worker_gone") == MOST_GONE_TOLD + 1


def test_made_up_workers_of_other_versions_are_not_remembered_for_ever(link: Link) -> None:
    told = Told()
    for wave in range(3):
        show(link.exchange, wave, "99.1")
        look(link, told)
        hide(link.exchange)
    assert told.kinds.count("worker_version_differs") == 1
    assert len(link._other_versions) <= MADE_UP
