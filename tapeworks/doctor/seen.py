"""Who shows himself at Redis, and how long ago."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from tapeworks.workers.errors import RedisUnreachable
from tapeworks.workers.exchange import Exchange
from tapeworks.workers.keys import (
    SCHEDULER_SECONDS,
    WORKER_SECONDS,
    scheduler_key,
    worker_key,
)
from tapeworks.workers.messages import SchedulerRecord, WorkerRecord
from tapeworks.workers.redis_client import translated


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """Workers and schedulers of one Redis."""

    workers: Sequence[WorkerRecord]
    set_aside: dict[str, list[str]]  #: the runs that do not trust a worker, by its name
    schedulers: Sequence[SchedulerRecord] | None  #: None if this user may not see them
    skews: dict[str, float]  #: seconds by which a machine's clock is ahead of this one


def seen(client: redis.Redis, url: str) -> Seen:
    """All who are alive. Raises `RedisUnreachable`."""
    exchange = Exchange(url)
    workers = exchange.workers()
    skews = _skews(client, url, workers, worker_key, WORKER_SECONDS)
    schedulers = _schedulers(exchange)
    skews |= _skews(client, url, schedulers or (), scheduler_key, SCHEDULER_SECONDS)
    set_aside = exchange.set_aside_workers() if schedulers is not None else {}
    return Seen(workers=workers, set_aside=set_aside, schedulers=schedulers, skews=skews)


def redis_skew(client: redis.Redis, url: str) -> float:
    """Seconds by which the clock of Redis is ahead of this one."""
    began = datetime.now(UTC)
    with translated(url):
        seconds, microseconds = client.time()
    ended = datetime.now(UTC)
    there = datetime.fromtimestamp(seconds, UTC).timestamp() + microseconds / 1e6
    return there - (began.timestamp() + ended.timestamp()) / 2


def _schedulers(exchange: Exchange) -> list[SchedulerRecord] | None:
    try:
        return exchange.schedulers()
    except RedisUnreachable as error:
        if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
            return None
        raise


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
        with translated(url):
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
