"""Strikes the world as the schedule says, and takes every fault back in its time."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.faults.chaos.faults import Fault
from tests.faults.chaos.history import History, Unavailable
from tests.faults.chaos.journal import Journal
from tests.faults.chaos.services import GO_ON, KILL, PAUSE, Service, send
from tests.faults.chaos.world import World

#: Seconds between two looks at what is due.
LOOK_SECONDS = 0.02

#: Seconds in which the liar must be asked for something, or its lie is not told.
LIE_SECONDS = 3.0

#: A slow link's delay, and a lossy one's share of lost frames, at least and at most.
DELAY_SECONDS = (0.02, 0.3)
LOSS = (0.05, 0.4)

#: What ends a fault.
Heal = Callable[[], object]


class Missed(Exception):
    """The victim is not there to be struck: an earlier fault has it still."""


class Nemesis:
    """Draws faults from a schedule and applies them to a world."""

    def __init__(self, world: World, schedule: Iterator[Fault], history: History) -> None:
        self._world, self._schedule, self._history = world, schedule, history
        self._journal: Journal = world.journal
        self._due: list[tuple[float, int, str, Heal]] = []
        self._numbers = itertools.count()
        self._struck: set[str] = set()
        self.faults = 0  #: applied so far

    def strike_next(self, run_id: str) -> None:
        """Wait as long as the next fault says, then apply it."""
        fault = next(self._schedule)
        self.tend(fault.wait_seconds)
        try:
            target = self._strike(fault, run_id)
        except Missed as missed:
            self._journal.write("missed", victim=fault.victim, kind=fault.kind, why=str(missed))
        else:
            self.faults += 1
            values = {"victim": fault.victim, "kind": fault.kind, "seconds": fault.seconds}
            self._journal.write("fault", self._struck_at, target=target, **values)

    def tend(self, seconds: float) -> None:
        """Let so much time pass: take back what is due, start again what has ended."""
        until = time.monotonic() + seconds
        while True:
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, target, heal = heapq.heappop(self._due)
                self._heal(target, heal)
            self._world.look()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, LOOK_SECONDS))

    def heal_all(self) -> None:
        """Take back at once whatever is still broken."""
        while self._due:
            _, _, target, heal = heapq.heappop(self._due)
            self._heal(target, heal)

    def _heal(self, target: str, heal: Heal) -> None:
        heal()
        self._struck.discard(target)
        self._journal.write("healed", target=target)

    def _later(self, target: str, seconds: float, heal: Heal) -> str:
        self._struck.add(target)
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), target, heal))
        return target

    def _free(self, target: str) -> None:
        if target in self._struck:
            raise Missed(f"{target} is struck already")

    def _strike(self, fault: Fault, run_id: str) -> str:
        self._struck_at = time.time()
        victims: dict[str, Callable[[Fault], str]] = {
            "worker": self._worker,
            "supervisor": self._supervisor,
            "liar": self._liar,
            "link": self._link,
            "proxy": self._proxy,
            "redis": self._redis,
            "database": self._database,
        }
        if fault.victim in victims:
            return victims[fault.victim](fault)
        return self._scheduler(fault, run_id)

    def _worker(self, fault: Fault) -> str:
        for service, process in self._world.worker_processes():
            if _process(service, process.pid) not in self._struck:
                return self._signal(service, process.pid, fault)
        raise Missed("no worker is up")

    def _signal(self, service: Service, pid: int, fault: Fault) -> str:
        target = _process(service, pid)
        self._free(target)
        self._struck_at = time.time()
        if not send(pid, KILL if fault.kind == "kill" else PAUSE):
            raise Missed(f"{target} is gone")
        if fault.kind == "pause":
            self._later(target, fault.seconds, lambda: send(pid, GO_ON))
        return target

    def _supervisor(self, fault: Fault) -> str:
        service = self._world.workers[int(fault.place * len(self._world.workers))]
        return self._kill(service, fault)

    def _kill(self, service: Service, fault: Fault) -> str:
        if service.pid is None:
            raise Missed(f"{service.name} is down")
        self._struck_at = service.kill(fault.seconds)
        return service.name

    def _scheduler(self, fault: Fault, run_id: str) -> str:
        driving = self._driving(run_id)
        wanted = [
            s for s in self._world.schedulers if (s is driving) == (fault.victim != "standby")
        ]
        if driving is None or not wanted:
            raise Missed("no scheduler drives")
        if fault.kind == "kill":
            return self._kill(wanted[0], fault)
        pid = wanted[0].pid
        if pid is None:
            raise Missed(f"{wanted[0].name} is down")
        return self._signal(wanted[0], pid, fault)

    def _driving(self, run_id: str) -> Service | None:
        with suppress(Unavailable):
            owner = str(self._history.run(run_id)["owner"] or "").split(":")
            pids = {str(service.pid): service for service in self._world.schedulers}
            return pids.get(owner[-2]) if len(owner) > 1 else None
        return None

    def _liar(self, fault: Fault) -> str:
        order = self._world.lie
        draft = order.with_suffix(".draft")
        draft.write_text(fault.lie, encoding="utf-8")
        draft.rename(order)
        deadline = time.monotonic() + LIE_SECONDS
        while order.exists() and time.monotonic() < deadline:
            self.tend(LOOK_SECONDS)
        if order.exists():
            order.unlink(missing_ok=True)
            raise Missed("nobody asks the liar for anything")
        self._struck_at = time.time()
        return f"liar: {fault.lie}"

    def _link(self, fault: Fault) -> str:
        links = self._world.network.links
        group = 1 + int(fault.place * len(links))
        link, target = links[group], f"link-{group}"
        self._free(target)
        if fault.kind == "down":
            link.up(False)
            return self._later(target, fault.seconds, lambda: link.up(True))
        if fault.kind == "delay":
            link.delay_seconds = _between(DELAY_SECONDS, fault.place)
            return self._later(target, fault.seconds, lambda: setattr(link, "delay_seconds", 0.0))
        link.loss = _between(LOSS, fault.place)
        return self._later(target, fault.seconds, lambda: setattr(link, "loss", 0.0))

    def _proxy(self, fault: Fault) -> str:
        self._free("proxy")
        self._world.proxy.order(fault.kind)
        if fault.kind == "half-open":
            self._later("proxy", fault.seconds, lambda: self._world.proxy.order("heal"))
        return "proxy"

    def _redis(self, fault: Fault) -> str:
        redis, pid = self._world.redis, self._world.redis.pid
        self._free("redis")
        if fault.kind == "flush":
            redis.flush()
        elif fault.kind == "kill":
            redis.kill()
            self._later("redis", fault.seconds, redis.start)
        elif pid is not None:
            send(pid, PAUSE)
            self._later("redis", fault.seconds, lambda: send(pid, GO_ON))
        return "redis"

    def _database(self, fault: Fault) -> str:
        self._free("database")
        if not self._world.database.is_up:
            raise Missed("the database is still starting")
        self._struck_at = time.time()
        self._world.database.strike(fault.kind)
        return self._later("database", fault.seconds, self._world.database.heal)


def _process(service: Service, pid: int) -> str:
    return f"{service.name} process {pid}"


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + share * (bounds[1] - bounds[0])
