"""Checks of the workers and schedulers that are registered in Redis."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from tapeworks.doctor.findings import (
    Finding,
    groups,
    join_names,
    ok,
    other_versions,
    states,
    warning,
)
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import SCHEDULER_SECONDS, WORKER_SECONDS, scheduler_key, worker_key
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord
from tapeworks.wire.redis_client import translate_errors
from tapeworks.workers.cores import core_count

#: Seconds after which a worker that is still starting hangs, or its machine is overloaded.
LONGEST_START_SECONDS = 60.0

WORKERS = "workers"

SCHEDULERS = "schedulers"


def check_workers(seen: Seen) -> Iterator[Finding]:
    """Check versions, fingerprints, quarantine, pace and clocks of the workers."""
    if not seen.workers:
        yield warning(WORKERS, "none is alive", "Start one with: tapeworks worker")
        return
    wrong = [
        *other_versions(WORKERS, seen.workers),
        *_other_tensorflow(seen.workers),
        *_fingerprints(seen.workers),
        *_report_quarantined(seen.quarantined),
        *_hanging(seen.workers),
        *_report_crowded(seen.workers),
    ]
    yield from wrong
    if not wrong:
        known = {worker.fingerprint for worker in seen.workers if worker.fingerprint}
        fingerprint = next(iter(known), "not taken yet")
        yield ok(WORKERS, f"{states(seen.workers)}; fingerprint {fingerprint}")


def _other_tensorflow(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    found = groups((worker.tensorflow, worker.name) for worker in workers if worker.tensorflow)
    if len(found) > 1:
        shown = "; ".join(f"{one} of {join_names(names)}" for one, names in sorted(found.items()))
        yield warning(
            WORKERS,
            f"versions of TensorFlow differ: {shown}",
            "Install the same requirements.lock on all machines.",
        )


def _fingerprints(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    found = groups((w.fingerprint, w.name) for w in workers if w.fingerprint)
    if len(found) > 1:
        shown = "; ".join(f"{one} of {join_names(names)}" for one, names in sorted(found.items()))
        yield warning(
            WORKERS,
            f"fingerprints differ, and a run uses workers of only one: {shown}",
            "Use machines, versions and variables that are alike, or submit with "
            "--allow-mixed-workers.",
        )


def _report_quarantined(quarantined: dict[str, list[str]]) -> Iterator[Finding]:
    for worker, runs in sorted(quarantined.items()):
        yield warning(
            WORKERS,
            f"{worker} is quarantined for {join_names(runs)}, because its answers were wrong",
            f"See why with: tapeworks show {sorted(runs)[0]} --events; then check that machine.",
        )


def _hanging(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    names = [
        w.name for w in workers if w.state == "starting" and _age_seconds(w) > LONGEST_START_SECONDS
    ]
    if names:
        yield warning(
            WORKERS,
            f"starting for more than {LONGEST_START_SECONDS:.0f} seconds: {join_names(names)}",
            "See what they log, and whether their machine is overloaded; then end them: "
            "their supervisor starts others.",
        )


def _age_seconds(worker: WorkerRecord) -> float:
    """The worker's age by its own clock."""
    try:
        since = datetime.fromisoformat(worker.since)
        now = datetime.fromisoformat(worker.clock) if worker.clock else datetime.now(UTC)
        return (now - since).total_seconds()
    except (ValueError, TypeError):  # what others write need not be a time
        return 0.0


def _report_crowded(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    cores = {worker.host: worker.cores for worker in workers if worker.cores}
    cores.setdefault(socket.gethostname(), core_count())
    for host, count in sorted(Counter(worker.host for worker in workers).items()):
        if 0 < cores.get(host, 0) < count:
            yield warning(
                WORKERS,
                f"{count} processes share the {cores[host]} cores of {host}",
                f"Start fewer there: tapeworks worker --processes {cores[host]}",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Workers and schedulers of one Redis."""

    workers: Sequence[WorkerRecord]
    quarantined: dict[str, list[str]]  #: the runs that do not trust a worker, by its name
    schedulers: Sequence[SchedulerRecord] | None  #: None if this user may not see them
    skews: dict[str, float]  #: seconds by which a machine's clock is ahead of this one


def read_registry(client: redis.Redis, url: str) -> Seen:
    """Read all registered workers and schedulers. Raises `RedisUnreachable`."""
    exchange = Exchange(url)
    workers = exchange.workers()
    skews = _skews(client, url, workers, worker_key, WORKER_SECONDS)
    schedulers = exchange.list_visible_schedulers()
    skews |= _skews(client, url, schedulers or (), scheduler_key, SCHEDULER_SECONDS)
    quarantined = exchange.list_quarantined() if schedulers is not None else {}
    return Seen(workers=workers, quarantined=quarantined, schedulers=schedulers, skews=skews)


def redis_skew(client: redis.Redis, url: str) -> float:
    """Seconds by which the clock of Redis is ahead of this one."""
    began = datetime.now(UTC)
    with translate_errors(url):
        seconds, microseconds = client.time()
    ended = datetime.now(UTC)
    there = datetime.fromtimestamp(seconds, UTC).timestamp() + microseconds / 1e6
    return there - (began.timestamp() + ended.timestamp()) / 2


def _skews(
    client: redis.Redis,
    url: str,
    records: Sequence[WorkerRecord] | Sequence[SchedulerRecord],
    key_of: Callable[[str], str],
    lifetime_seconds: int,
) -> dict[str, float]:
    """By host. What is left of a record's lifetime tells when it was written."""
    skews = {}
    for record in records:
        clock = _moment(record.clock)
        with translate_errors(url):
            left_ms = client.pttl(key_of(record.name))
        if clock and isinstance(left_ms, int) and left_ms > 0:
            age_seconds = max(lifetime_seconds - left_ms / 1000, 0.0)
            skews[record.host] = clock.timestamp() + age_seconds - datetime.now(UTC).timestamp()
    return skews


def _moment(clock: str) -> datetime | None:
    """A time as others wrote it; None if it is none."""
    try:
        moment = datetime.fromisoformat(clock)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def check_schedulers(seen: Seen) -> Iterator[Finding]:
    """Check their versions; that none is alive matters only when a run waits."""
    if seen.schedulers is None:
        yield ok(SCHEDULERS, "not told to this Redis user, as it should be for a worker's")
        return
    wrong = list(other_versions(SCHEDULERS, seen.schedulers))
    yield from wrong
    if not seen.schedulers:
        yield ok(SCHEDULERS, "none is alive; submitted runs need one, tapeworks train does not")
    elif not wrong:
        in_hand = (
            join_names(run for scheduler in seen.schedulers for run in scheduler.runs) or "none"
        )
        yield ok(SCHEDULERS, f"{states(seen.schedulers)}; runs in hand: {in_hand}")
