"""Prometheus metrics of a scheduler: its runs, and the state of Redis and SQL at a scrape."""

from __future__ import annotations

import collections
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tapeworks.metrics.endpoint import BoundedLook
from tapeworks.scheduler.core.decisions import Reason
from tapeworks.scheduler.events import (
    NOTICES,
    AnswerJudged,
    AttemptSent,
    Event,
    IterationCommitted,
    LeaseRenewed,
    Notice,
    RunClaimed,
    RunLeft,
    ShardsOutstanding,
    Verdict,
)
from tapeworks.storage.errors import StorageError
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange

#: Where a worker can stand; what another version says beside them is not counted.
WORKER_STATES = ("starting", "idle", "busy")

#: Upper ends of the histogram's bars, in seconds.
ITERATION_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

#: What a scheduler can wait for, with the notices between which it does.
WAITS = {
    "redis": ("redis_unreachable", ("going_on",)),
    "workers": ("no_workers", ("going_on", "redis_unreachable")),
    "database": ("database_unreachable", ("database_back",)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Queue:
    messages: int
    workers: Mapping[str, int]  #: by their state


class RedisPlace(Collector):
    """The queue and the workers. Without Redis their series are absent, not zero."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._look = BoundedLook(self._queue, RedisUnreachable)

    def collect(self) -> Iterable[Metric]:
        """Yield what is found within the time of a look."""
        found = self._look()
        yield redis_up(found is not None)
        if found is None:
            return
        yield GaugeMetricFamily(
            "tapeworks_queue_messages", "Messages that no worker has taken", value=found.messages
        )
        yield by_label("tapeworks_workers", "Workers that are alive", "state", found.workers)

    def _queue(self) -> _Queue:
        workers = self._exchange.workers()
        states = collections.Counter(worker.state for worker in workers)
        return _Queue(
            messages=self._exchange.queue_length(worker.fingerprint for worker in workers),
            workers={state: states[state] for state in WORKER_STATES},
        )


class DatabasePlace(Collector):
    """The runs. Without the database their series are absent, not zero."""

    def __init__(self, history: History) -> None:
        self._look = BoundedLook(history.count_by_status, StorageError)

    def collect(self) -> Iterable[Metric]:
        """Yield what is found within the time of a look."""
        found = self._look()
        yield GaugeMetricFamily(
            "tapeworks_database_up",
            "Whether the database answers",
            value=float(found is not None),
        )
        if found is not None:
            counts = {status.value: found.get(status, 0) for status in RunStatus}
            yield by_label("tapeworks_runs", "Runs in the history", "status", counts)


def redis_up(is_up: bool) -> Metric:
    """Report whether Redis answers."""
    return GaugeMetricFamily("tapeworks_redis_up", "Whether Redis answers", value=float(is_up))


def by_label(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    """One gauge with a series for each value of its label."""
    gauge = GaugeMetricFamily(name, documentation, labels=[label])
    for value, number in values.items():
        gauge.add_metric([value], number)
    return gauge


class SchedulerMetrics(Collector):
    """Counters of all drivers of this process, and where each of them stands."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            "tapeworks_attempts_sent", "Attempts put on the queue", ["work"], registry=registry
        )
        self.again = Counter(
            "tapeworks_attempts_sent_again",
            "Attempts at a shard after its first, by the reason",
            ["reason"],
            registry=registry,
        )
        self.answers = Counter(
            "tapeworks_answers", "Answers, by what became of them", ["verdict"], registry=registry
        )
        self.notices = Counter(
            "tapeworks_notices", "What happened to runs, by kind", ["kind"], registry=registry
        )
        self.seconds = Histogram(
            "tapeworks_iteration_seconds",
            "Seconds of each committed iteration",
            buckets=ITERATION_SECONDS,
            registry=registry,
        )
        self.images = Counter(
            "tapeworks_images", "Images of the committed iterations", registry=registry
        )
        self.lost = Counter(
            "tapeworks_leases_lost", "Runs that another took over from us", registry=registry
        )
        self._begin_at_zero()
        self._drivers: list[DriverMetrics] = []
        registry.register(self)

    def _begin_at_zero(self) -> None:
        """A series that is not there until something happens has no rate when it does."""
        for work in ("iteration", "evaluation"):
            self.sent.labels(work)
        for reason in Reason:
            if reason is not Reason.FIRST:
                self.again.labels(reason.name.lower())
        for verdict in Verdict:
            self.answers.labels(verdict)
        for kind in NOTICES:
            self.notices.labels(kind)

    def driver(self) -> DriverMetrics:
        """Return a new listener to one driver."""
        self._drivers.append(DriverMetrics(self))
        return self._drivers[-1]

    def collect(self) -> Iterable[Metric]:
        """Report the present state of each driver."""
        ages = [(driver.lease_age, driver.lease_seconds) for driver in self._drivers]
        held = [(age, seconds) for age, seconds in ages if age is not None]
        yield _gauge("runs_in_hand", "Runs that this scheduler drives", len(held))
        shards = sum(driver.shards_out for driver in self._drivers)
        yield _gauge("shards_outstanding", "Shards that wait for an answer", shards)
        waiting = GaugeMetricFamily(
            "tapeworks_waiting", "Whether a run stands still for want of it", labels=["for"]
        )
        for what in WAITS:
            stuck = any(what in driver.waits_for for driver in self._drivers)
            waiting.add_metric([what], float(stuck))
        yield waiting
        if held:
            oldest, left = max(age for age, _ in held), min(all_ - age for age, all_ in held)
            yield _gauge("lease_age_seconds", "Since a lease began, of the oldest", oldest)
            yield _gauge("lease_left_seconds", "Until a lease ends, of the shortest", left)


class DriverMetrics:
    """One driver's part. A scrape in another thread reads what the driver's thread sets."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        self._metrics = metrics
        self._renewed_at: float | None = None
        self.lease_seconds = 0.0
        self.shards_out = 0
        self.waits_for: frozenset[str] = frozenset()

    @property
    def lease_age(self) -> float | None:
        """Seconds since the lease of the run in hand began."""
        renewed_at = self._renewed_at
        return None if renewed_at is None else time.monotonic() - renewed_at

    def __call__(self, event: Event) -> None:
        """Count the event."""
        metrics = self._metrics
        match event:
            case AttemptSent():
                self._count_attempt(event)
            case AnswerJudged():
                metrics.answers.labels(event.verdict).inc()
            case ShardsOutstanding():
                self.shards_out = event.shards
            case IterationCommitted(record=record):
                metrics.seconds.observe(record.seconds)
                metrics.images.inc(record.images)
            case Notice():
                self._count_notice(event.kind)
            case RunClaimed() | LeaseRenewed() | RunLeft():
                self._follow_lease(event)

    def _follow_lease(self, event: RunClaimed | LeaseRenewed | RunLeft) -> None:
        self._renewed_at = time.monotonic()
        if isinstance(event, RunClaimed):
            self.lease_seconds = event.lease_seconds
        elif isinstance(event, RunLeft):
            self._renewed_at, self.shards_out, self.waits_for = None, 0, frozenset()

    def _count_attempt(self, event: AttemptSent) -> None:
        kind = "evaluation" if event.key.evaluation else "iteration"
        self._metrics.sent.labels(kind).inc()
        if event.reason is not Reason.FIRST:
            self._metrics.again.labels(event.reason.name.lower()).inc()

    def _count_notice(self, kind: str) -> None:
        self._metrics.notices.labels(kind).inc()
        if kind == "lease_lost":
            self._metrics.lost.inc()
        for what, (begin, ends) in WAITS.items():
            if kind == begin:
                self.waits_for |= {what}
            elif kind in ends:
                self.waits_for -= {what}


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tapeworks_{name}", documentation, value=value)
