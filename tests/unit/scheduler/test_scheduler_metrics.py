"""Counters of a scheduler, and looks that must not take long."""

from __future__ import annotations

import re
import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tapeworks.metrics import endpoint as bounded
from tapeworks.metrics.endpoint import BoundedLook
from tapeworks.metrics.scheduler import SchedulerMetrics
from tapeworks.scheduler.core.decisions import WORKER_QUARANTINED
from tapeworks.scheduler.events import NOTICES, Notice, RunClaimed, RunLeft
from tapeworks.storage.records import Claim
from tapeworks.wire.errors import RedisUnreachable
from tests.support.observed import Samples, samples, value
from tests.support.processes import ROOT
from tests.support.waiting import until

#: A notice's kind, as the scheduler's code gives it.
KIND = re.compile(r'(?:Notice|_tell|_wait_for|_over|Tell)\(\s*(?:kind=)?"(\w+)"')


def collected(registry: CollectorRegistry) -> Samples:
    return samples(generate_latest(registry).decode())


def test_every_kind_of_notice_is_known() -> None:
    sources = [path.read_text() for path in (ROOT / "scheduler").rglob("*.py")]
    given = {kind for source in sources for kind in KIND.findall(source)} - {"no_workers"}
    assert given | {"no_workers", WORKER_QUARANTINED} == set(NOTICES)


def test_every_series_of_a_counter_begins_at_zero() -> None:
    registry = CollectorRegistry()
    SchedulerMetrics(registry)
    found = collected(registry)
    assert value(found, "tapeworks_notices_total", kind="worker_quarantined") == 0
    assert value(found, "tapeworks_attempts_sent_again_total", reason="worker_gone") == 0
    assert value(found, "tapeworks_answers_total", verdict="late") == 0


def test_a_scheduler_waits_as_long_as_one_of_its_runs_does() -> None:
    registry = CollectorRegistry()
    metrics = SchedulerMetrics(registry)
    first, second = metrics.driver(), metrics.driver()

    def waiting(what: str) -> float:
        return value(collected(registry), "tapeworks_waiting", **{"for": what})

    for driver in (first, second):
        driver(Notice("redis_unreachable", ""))
    first(Notice("going_on", ""))
    assert waiting("redis") == 1
    second(RunLeft("run"))
    assert waiting("redis") == 0
    first(Notice("no_workers", ""))
    assert (waiting("workers"), waiting("database")) == (1, 0)
    first(Notice("redis_unreachable", ""))  # it cannot know of workers any more
    assert (waiting("workers"), waiting("redis")) == (0, 1)
    first(Notice("database_unreachable", ""))
    assert waiting("database") == 1
    first(RunLeft("run"))  # if the database is still away, whoever asks it next says so
    assert (waiting("redis"), waiting("database")) == (0, 0)


def test_a_lease_is_told_of_while_a_run_is_in_hand() -> None:
    registry = CollectorRegistry()
    driver = SchedulerMetrics(registry).driver()
    assert ("tapeworks_lease_age_seconds", frozenset()) not in collected(registry)
    driver(RunClaimed(Claim(run_id="run", term=1, owner="me"), 10.0))
    found = collected(registry)
    age = value(found, "tapeworks_lease_age_seconds")
    assert value(found, "tapeworks_lease_left_seconds") == pytest.approx(10.0 - age)
    assert value(found, "tapeworks_runs_in_hand") == 1
    driver(RunLeft("run"))
    assert value(collected(registry), "tapeworks_runs_in_hand") == 0


def test_a_look_that_hangs_is_left_alone_and_not_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "LOOK_SECONDS", 0.01)
    began, go_on = list[int](), threading.Event()

    def look() -> int:
        began.append(1)
        go_on.wait()
        return len(began)

    bounded_look = BoundedLook(look, RedisUnreachable)
    assert [bounded_look() for _ in range(3)] == [None] * 3
    assert began == [1]
    go_on.set()
    assert until(bounded_look, "the look comes back") == 1


def test_a_look_at_what_is_away_finds_nothing() -> None:
    def look() -> int:
        raise RedisUnreachable("away")

    assert BoundedLook(look, RedisUnreachable)() is None
