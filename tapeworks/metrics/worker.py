"""Prometheus metrics of the worker processes under one supervisor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tapeworks.metrics.endpoint import BoundedLook
from tapeworks.metrics.scheduler import WORKER_STATES, by_label, redis_up
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import WorkerRecord
from tapeworks.workers.supervisor import Supervisor


class WorkerProcesses(Collector):
    """The processes of one supervisor, by their place among them.

    A process has a new name each time that it is started, and so each label value would be left
    behind as a dead series; its place stays.
    """

    def __init__(self, supervisor: Supervisor, exchange: Exchange) -> None:
        self._supervisor = supervisor
        self._look = BoundedLook(exchange.workers, RedisUnreachable)

    def collect(self) -> Iterable[Metric]:
        """Yield the supervisor's counts, and those from the processes' heartbeats in Redis."""
        places, starts = self._supervisor.places, self._supervisor.starts
        yield _gauge("processes_wanted", "Worker processes that should run", len(places))
        alive = sum(pid is not None for pid in places)
        yield _gauge("processes_alive", "Worker processes that run", alive)
        restarts = max(starts - len(places), 0)
        yield _counter("restarts", "Starts of a worker process after the first", restarts)
        deaths = self._supervisor.early_deaths
        yield _counter("early_deaths", "Worker processes that ended before they were ready", deaths)
        found = self._look()
        yield redis_up(found is not None)
        if found is not None:
            yield from _measure_processes(places, self._supervisor.of_here(found))


def _measure_processes(
    places: list[int | None], records: dict[int, WorkerRecord]
) -> Iterable[Metric]:
    states = Counter(_state(pid, records) for pid in places if pid is not None)
    counts = {state: states[state] for state in WORKER_STATES}
    yield by_label("tapeworks_worker_processes", "Worker processes by state", "state", counts)
    images = CounterMetricFamily(
        "tapeworks_worker_images", "Images computed since it was started", labels=["process"]
    )
    busy = CounterMetricFamily(
        "tapeworks_worker_busy_seconds", "Seconds spent on them", labels=["process"]
    )
    pace = GaugeMetricFamily(
        "tapeworks_worker_images_per_second", "Pace while it computes", labels=["process"]
    )
    memory = GaugeMetricFamily(
        "tapeworks_worker_memory_bytes", "Resident memory", labels=["process"]
    )
    for place, pid in enumerate(places):
        record = records.get(pid) if pid is not None else None
        if record is not None:
            images.add_metric([str(place)], record.images)
            busy.add_metric([str(place)], record.busy_seconds)
            pace.add_metric([str(place)], record.images_per_second)
            memory.add_metric([str(place)], record.memory_mb * 1e6)
    yield from (images, busy, pace, memory)


def _state(pid: int, records: dict[int, WorkerRecord]) -> str:
    record = records.get(pid)
    return record.state if record else "starting"


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tapeworks_worker_{name}", documentation, value=value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"tapeworks_worker_{name}", documentation, value=value)
