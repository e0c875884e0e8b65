"""Everything that a distributed training needs, as real processes that end with the world."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.processes import ROOT, environment
from tests.faults.chaos.commands import LONGEST_SECONDS, TAPEWORKS, call
from tests.faults.chaos.databases import Database, Postgresql, Sqlite
from tests.faults.chaos.journal import Journal
from tests.faults.chaos.liar import ORDER_VARIABLE
from tests.faults.chaos.network import LOOPBACK, free_port, network
from tests.faults.chaos.proxy import ProxyProcess
from tests.faults.chaos.redis_process import RedisProcess
from tests.faults.chaos.services import Service

#: The worker group that reaches Redis through the proxy.
PROXIED_GROUP = 1

#: Seconds until all workers of a new world are ready; TensorFlow takes its time.
READY_SECONDS = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The ingredients of a world."""

    database: str  #: sqlite or postgresql
    groups: int = 3  #: of workers that tell the truth; the liar has a place of its own
    namespaces: bool = True  #: where they are allowed


@dataclass
class World:
    """Redis, database, two schedulers, groups of workers, a proxy and a liar."""

    shape: Shape
    directory: Path
    journal: Journal
    workers: list[Service] = field(init=False)
    schedulers: list[Service] = field(init=False)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def services(self) -> list[Service]:
        """All that is started again when it ends."""
        return [*self.schedulers, *self.workers, self.liar]

    @property
    def places(self) -> int:
        """Return where workers are: one for each group, and the liar's."""
        return self.shape.groups + 1

    def look(self) -> None:
        """Start again what has ended."""
        for service in self.services:
            service.look()

    def worker_processes(self) -> list[tuple[Service, psutil.Process]]:
        """The honest worker processes, those that have served longest first."""
        found = [(service, child) for service in self.workers for child in service.children()]
        return sorted(found, key=lambda pair: pair[1].create_time())

    def submit(self, arguments: list[str]) -> str:
        """Queue a run; its id."""
        words = ["submit", *arguments]
        return call(words, self.directory, TAPEWORKS_DATABASE_URL=self.database.url).strip()

    def wait_until_ready(self) -> None:
        """Wait until every worker shows itself as ready."""
        deadline = time.monotonic() + READY_SECONDS
        while self._ready() < len(self.workers) + 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The workers do not get ready; see {self.directory}")
            self.look()

    def _build(self) -> None:
        self.network, self.said = network(self.places, self.shape.namespaces)
        self._stack.callback(self.network.close)
        self.redis = RedisProcess(
            self.directory, "0.0.0.0" if self.network.links else LOOPBACK, self.network.at_hub()
        )
        self._stack.callback(self.redis.close)
        self.redis.start()
        self.proxy_port = free_port()
        self.proxy = ProxyProcess(
            self.network.at_hub(),
            self.network.hub_address(PROXIED_GROUP),
            self.proxy_port,
            self.redis.port,
        )
        self._stack.callback(self.proxy.close)
        self.database = self._database()
        self._stack.callback(self.database.close)
        call(["db", "upgrade"], self.directory, TAPEWORKS_DATABASE_URL=self.database.url)
        self._start_services()

    def _database(self) -> Database:
        return Sqlite(self.directory) if self.shape.database == "sqlite" else Postgresql()

    def _start_services(self) -> None:
        self.lie = self.directory / "lie"
        self.schedulers = [self._scheduler(number) for number in (1, 2)]
        self.workers = [self._worker(group) for group in range(1, self.shape.groups + 1)]
        self.liar = self._liar(self.shape.groups + 1)
        for service in self.services:
            self._stack.callback(service.close)
            service.start()

    def _scheduler(self, number: int) -> Service:
        return self._service(
            f"scheduler-{number}",
            [*self.network.at_hub(), *TAPEWORKS, "scheduler"],
            TAPEWORKS_REDIS_URL=self.redis.url(LOOPBACK),
            TAPEWORKS_DATABASE_URL=self.database.url,
        )

    def _worker(self, group: int) -> Service:
        command = [*self.network.at_group(group), *TAPEWORKS, "worker", "--processes", "1"]
        port = self.proxy_port if group == PROXIED_GROUP else None
        url = self.redis.url(self.network.hub_address(group), port)
        return self._service(f"worker-{group}", command, TAPEWORKS_REDIS_URL=url)

    def _liar(self, group: int) -> Service:
        command = [*self.network.at_group(group), sys.executable, "-m", "tests.faults.chaos.liar"]
        variables = {ORDER_VARIABLE: str(self.lie)}
        variables["TAPEWORKS_REDIS_URL"] = self.redis.url(self.network.hub_address(group))
        return self._service("liar", command, **variables)

    def _service(self, name: str, command: list[str], **variables: str) -> Service:
        return Service(name, command, environment(**variables), self.directory, self.journal)

    def _ready(self) -> int:
        variables = {"TAPEWORKS_REDIS_URL": self.redis.url(LOOPBACK), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*self.network.at_hub(), *TAPEWORKS, "workers", "--json"],
            env=environment(**variables),
            capture_output=True,
            check=True,
            timeout=LONGEST_SECONDS,
        )
        return sum(1 for worker in json.loads(done.stdout) if worker["fingerprint"])
