"""One schedule: everything, wired together by a seed, until all runs are complete."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

from tests.simulation.exchange import Exchange
from tests.simulation.faults import Faults, Kind, drawn
from tests.simulation.forger import KEY, SIGNED, Forger
from tests.simulation.problem import reference
from tests.simulation.redis import Redis
from tests.simulation.schedulers import Scheduler
from tests.simulation.store import Store
from tests.simulation.witness import Violation, Witness
from tests.simulation.workers import Worker
from tests.simulation.world import World

#: Simulated seconds within which every run is complete once faults have stopped.
PROGRESS_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a schedule was like."""

    seconds: float  #: simulated, until all was done
    after_faults: float  #: of those, since faults stopped
    kinds: frozenset[str]  #: of events told to people


class Failure(AssertionError):
    """A schedule in which something went wrong."""


class Schedule:
    """The simulated system, its faults drawn from a seed."""

    def __init__(self, seed: int, *, whole_log: bool = False) -> None:
        self.world = World(seed, whole_log=whole_log)
        self._seed = seed
        self._faults = faults = drawn(self.world.chance)
        self._witness = Witness()
        self._redis = Redis(self.world, faults)
        self._store = Store(self.world, self._witness, faults.commit_silent)
        self._forger = self._forger_of(seed)

    def _forger_of(self, seed: int) -> Forger | None:
        chance = random.Random(f"forger {seed}")
        if chance.random() >= SIGNED:
            return None
        self._redis.signer = KEY
        return Forger(self.world, self._redis, chance, lambda: [w.name for w in self._workers])

    def run(self) -> Seen:
        """Until all runs are complete. Raises `Failure` with the end of the log."""
        try:
            with self._seams():
                self._set_up()
                self._go_on()
        except Exception as error:  # whatever it is, it is found again by its seed
            log = "\n".join(self.world.log)
            raise Failure(
                f"{log}\nSeed {self._seed}: {error!r}\n{self._faults}\n"
                f"Replay it with: python -m tests.simulation --seed {self._seed}"
            ) from error
        after = max(self.world.now - self._faults.until, 0.0)
        return Seen(
            seconds=self.world.now,
            after_faults=after,
            kinds=frozenset(self._witness.happened),
        )

    @contextmanager
    def _seams(self) -> Iterator[None]:
        """Time, chance, Redis and Celery of the scheduler's room are the simulated ones."""
        world, redis = self.world, self._redis
        queue = SimpleNamespace(
            send=lambda message, signer: redis.send(message), use_redis=lambda url: None
        )
        with ExitStack() as stack:
            for name, stand_in in {
                "gathering.time": world,
                "gathering.celery": queue,
                "gathering.CHANCE": world.chance,
                "link.time": world,
                "link.celery": queue,
                "link.Exchange": lambda url, signer: Exchange(world, redis, signer),
            }.items():
                stack.enter_context(patch(f"scheduler.{name}", stand_in))
            yield

    def _set_up(self) -> None:
        world, faults, chance = self.world, self._faults, self.world.chance
        for number in range(chance.choice([1, 1, 2])):
            microbatches, shards = chance.randint(1, 8), chance.choice([None, None, 2, 5])
            self._store.create_run(f"run-{number}", microbatches, chance.randint(1, 3), shards)
        self._workers = [
            Worker(world, self._redis, place, kind) for place, kind in enumerate(faults.kinds)
        ]
        self._schedulers = [
            Scheduler(world, self._store, self._witness, place, faults.audit, self._redis.signer)
            for place in range(chance.randint(1, 3))
        ]
        self._redis.on_message = self._message
        if self._forger:
            self._redis.on_queued = self._forger.sees
        self._redis.on_arrival = self._arrival
        self._plan(faults)

    def _message(self) -> None:
        for worker in self.world.chance.sample(self._workers, len(self._workers)):
            worker.look()

    def _arrival(self, run_id: str) -> None:
        for scheduler in self._schedulers:
            scheduler.arrival(run_id)

    # Faults

    def _plan(self, faults: Faults) -> None:
        world, chance = self.world, self.world.chance
        for at in faults.wipes:
            world.at(at, self._wipe)
        for at in faults.restarts:
            world.at(at, self._restart)
        for at, seconds in faults.outages:
            world.at(at, lambda: self._redis_away(True))
            world.at(at + seconds, lambda: self._redis_away(False))
        for at, seconds in faults.store_outages:
            world.at(at, lambda: self._store_away(True))
            world.at(at + seconds, lambda: self._store_away(False))
        for at in faults.crashes:
            scheduler, seen = chance.choice(self._schedulers), chance.random() < 0.5
            world.at(at, partial(scheduler.crash, seen=seen))
        for at, seconds in faults.freezes:
            scheduler, before_commit = chance.choice(self._schedulers), chance.random() < 0.5
            world.at(at, partial(scheduler.freeze, seconds, before_commit=before_commit))
        world.at(faults.until, self._all_is_well)

    def _wipe(self) -> None:
        self.world.tell("redis", "forgets everything")
        self._redis.forget()
        for worker in self._workers:
            worker.show()

    def _restart(self) -> None:
        self.world.tell("redis", "is restarted")
        self._redis.server += 1
        self._wipe()

    def _redis_away(self, away: bool) -> None:
        self.world.tell("redis", "goes away" if away else "is back")
        self._redis.away = away
        if not away:
            self._message()

    def _store_away(self, away: bool) -> None:
        self.world.tell("store", "goes away" if away else "is back")
        self._store.away = away

    def _all_is_well(self) -> None:
        self.world.tell("faults", "stop")
        self._redis.faults, self._store.silent = None, 0.0
        self._redis_away(False)
        self._store_away(False)
        for worker in self._workers:
            worker.is_well()
        for scheduler in self._schedulers:
            scheduler.start()
            scheduler.thaw()

    # Progress

    def _go_on(self) -> None:
        end = self._faults.until + PROGRESS_SECONDS
        while self._store.unfinished:
            if self.world.now > end:
                raise Violation("the runs are not complete, long after faults stopped")
            self.world.step()
        if self._forger and set(self._faults.kinds) <= {Kind.HONEST, Kind.FOREIGN}:
            for kind in ("worker_set_aside", "answer_invalid", "audit_mismatch"):
                if kind in self._witness.happened:
                    raise Violation(f"{kind}, where every worker is honest")
        for run in self._store.runs.values():
            right = reference(run.id, run.microbatches, run.iterations)
            if run.parameters != right and run.id not in self._witness.waived_lies:
                raise Violation(f"{run.id} ends with other parameters than the reference")
