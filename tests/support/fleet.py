"""A real Redis with real worker processes, shared by many tests: starting one takes seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO

import redis

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.wire.exchange import Exchange
from tapeworks.workers.supervisor import Supervisor
from tests.support.waiting import until


@dataclass
class Fleet:
    """Worker processes at one Redis, each under a supervisor of its own."""

    redis_url: str
    log: IO[bytes]
    environment: Mapping[str, str] = field(default_factory=dict)  #: of the workers, beside ours
    supervisors: list[Supervisor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange = Exchange(self.redis_url)
        self.redis = redis.Redis.from_url(self.redis_url)

    def resize(self, count: int) -> None:
        """Have exactly so many workers, all of them ready."""
        while len(self.supervisors) > count:
            self.supervisors.pop().stop()
        for _ in range(len(self.supervisors), count):
            self.supervisors.append(Supervisor(self.redis_url, 1, self.log, self.environment))
            self.supervisors[-1].start()
        until(lambda: self.ready() == self.process_ids(), f"{count} workers are ready{self._log()}")

    def stop(self) -> None:
        """End all workers at once, whatever they have in hand."""
        for supervisor in self.supervisors:
            supervisor.stop(drain_seconds=0.0)

    def at_least(self, count: int) -> None:
        """Have so many workers or more."""
        self.resize(max(count, len(self.supervisors)))

    def ready(self) -> set[int]:
        """Process ids of the workers that show themselves as ready."""
        return {worker.pid for worker in self.exchange.workers() if worker.fingerprint}

    def process_ids(self) -> set[int]:
        """Process ids of the workers that should be there."""
        return {pid for supervisor in self.supervisors for pid in supervisor.process_ids}

    def fingerprint(self) -> str:
        """The one fingerprint of all workers."""
        [one] = {worker.fingerprint for worker in self.exchange.workers() if worker.fingerprint}
        return one

    def _log(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]


@contextmanager
def running_fleet(environment: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """A Redis without any worker yet; all that is started at it is ended."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        log = stack.enter_context(tempfile.TemporaryFile())
        fleet = Fleet(server.url, log, environment or {})
        stack.callback(fleet.redis.close)
        stack.callback(fleet.stop)
        yield fleet
