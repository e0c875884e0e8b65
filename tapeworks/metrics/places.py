"""Metrics of Redis and of SQL, looked up when Prometheus asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tapeworks.metrics.bounded import BoundedLook
from tapeworks.storage.errors import StorageError
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tapeworks.workers.errors import RedisUnreachable
from tapeworks.workers.exchange import Exchange

#: Where a worker can stand; what another version says beside them is not counted.
WORKER_STATES = ("starting", "idle", "busy")


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
        states = Counter(worker.state for worker in workers)
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
