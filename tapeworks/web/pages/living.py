"""The workers and schedulers that are registered at Redis now."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tapeworks.wire.errors import WorkersError
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord

#: Seconds for which a look at Redis counts as now: they register again once a second.
FRESH_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Living:
    """The answer of Redis; nothing where none is named, or where it does not answer."""

    workers: tuple[WorkerRecord, ...] = ()
    schedulers: tuple[SchedulerRecord, ...] = ()
    #: The runs for which a worker is quarantined, by its name.
    quarantined: Mapping[str, list[str]] = field(default_factory=dict)
    #: Why nobody is known.
    problem: str | None = None


class Lookout:
    """Looks at Redis for all who watch, once a second at most."""

    def __init__(self, redis_url: str | None) -> None:
        self._url = redis_url
        self._exchange: Exchange | None = None
        self._seen, self._at = Living(), float("-inf")
        self._lock = threading.Lock()

    def look(self) -> Living:
        """Return who is there."""
        if self._url is None:
            return Living(
                problem="No Redis is named here, so nobody can be seen at work; "
                "name it with TAPEWORKS_REDIS_URL."
            )
        with self._lock:  # which holds the others up for as long as Redis has time to answer
            if time.monotonic() - self._at >= FRESH_SECONDS:
                self._seen, self._at = self._ask(self._url), time.monotonic()
            return self._seen

    def _ask(self, url: str) -> Living:
        try:
            self._exchange = exchange = self._exchange or Exchange(url, looks=True)
            return Living(
                workers=tuple(exchange.workers()),
                schedulers=tuple(exchange.schedulers()),
                quarantined=exchange.list_quarantined(),
            )
        except WorkersError as error:
            return Living(problem=str(error))
