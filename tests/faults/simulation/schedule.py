"""One schedule: everything, wired together by a seed, until all runs are complete."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from tapeworks.storage.records import Request, RunStatus
from tapeworks.wire.messages import ShardMessage
from tests.faults.simulation.exchange import Exchange
from tests.faults.simulation.faults import Faults, Kind, drawn
from tests.faults.simulation.forger import KEY, SIGNED, Forger, Imposter
from tests.faults.simulation.problem import FINGERPRINT, initial, reference
from tests.faults.simulation.redis import Redis
from tests.faults.simulation.schedulers import Moment, Scheduler
from tests.faults.simulation.store import Run, Store
from tests.faults.simulation.witness import Violation, Witness
from tests.faults.simulation.workers import Worker
from tests.faults.simulation.world import World

#: Simulated seconds within which every run is complete once faults have stopped.
PROGRESS_SECONDS = 240.0

#: Of a run, all equally likely.
ITERATIONS = (1, 2, 3, 3, 4, 6)

#: Seconds after which an iteration waits for no other one: as in a real scheduler, never, for ever.
LONGEST_WAITS = (0.5, 0.5, 0.0, 3.0, math.inf)

#: At which a scheduler crashes or freezes: any, as likely as those of interest.
MOMENTS = (Moment.NOW, Moment.NOW, Moment.WAITING, Moment.COMMITTING)

#: Part of the schedules in which some workers may not run the network, and part of the workers.
SOME_UNALLOWED, UNALLOWED = 0.2, 0.5

#: Times that a run is resumed which the only worker would end.
MOST_RESUMED = 3


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The characteristics of a schedule that ended well."""

    seconds: float  #: simulated, until all was done
    after_faults: float  #: of those, since faults stopped
    kinds: frozenset[str]  #: of events told to people, and what else is rare


class Failure(AssertionError):
    """A schedule in which something went wrong."""


class Schedule:
    """The simulated system, its faults drawn from a seed."""

    def __init__(self, seed: int, *, whole_log: bool = False) -> None:
        self.world = World(seed, whole_log=whole_log)
        self._seed = seed
        self.seconds_each: float | None = None  #: of a microbatch; drawn, if None
        self.progress_seconds = PROGRESS_SECONDS
        self._faults = faults = self._draw()
        self._witness = Witness()
        self._redis = Redis(self.world, faults)
        self._store = Store(self.world, self._witness, faults.commit_silent)
        self._resumed = Counter[str]()
        self._longest_wait = random.Random(f"wait {seed}").choice(LONGEST_WAITS)
        self._forger = self._forger_of(seed)
        self._imposter = (
            Imposter(self.world, self._redis, random.Random(f"imposter {seed}"))
            if faults.imposter
            else None
        )

    def _draw(self) -> Faults:
        return drawn(self.world.chance)

    def _numbers(self) -> tuple[int, int]:
        """Of runs and of schedulers."""
        return self.world.chance.choice([1, 1, 1, 2, 2, 3, 4]), self.world.chance.randint(1, 3)

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
                f"Replay it with: python -m tests.faults.simulation --seed {self._seed}"
            ) from error
        after = max(self.world.now - self._faults.until, 0.0)
        return Seen(
            seconds=self.world.now,
            after_faults=after,
            kinds=frozenset(self._witness.happened),
        )

    @contextmanager
    def _seams(self) -> Iterator[None]:
        """Time, chance and Redis of the scheduler's room are the simulated ones."""
        world, redis = self.world, self._redis
        with ExitStack() as stack:
            for name, stand_in in {
                "dispatch.gathering.time": world,
                "dispatch.gathering.CHANCE": world.chance,
                "committing.time": world,
                "committing.LONGEST_WAIT_SECONDS": self._longest_wait,
                "dispatch.link.time": world,
                "dispatch.link.Exchange": lambda url, signer: Exchange(world, redis, signer),
            }.items():
                stack.enter_context(patch(f"tapeworks.scheduler.{name}", stand_in))
            yield

    def _set_up(self) -> None:
        world, faults = self.world, self._faults
        runs, schedulers = self._numbers()
        for number in range(runs):
            self._store.create_run(self._run(f"run-{number}"))
        self._workers = [
            Worker(world, self._redis, place, kind, keeps_name=faults.reuses_names)
            for place, kind in enumerate(faults.kinds)
        ]
        if faults.audit == 1.0 and faults.reuses_names:  # else it may agree with who it was before
            placed = zip(self._workers, faults.kinds, strict=True)
            broken = {worker.fingerprint for worker, kind in placed if kind is Kind.BROKEN}
            self._witness.broken = broken
        chance = random.Random(f"unallowed {self._seed}")
        for worker in self._workers if chance.random() < SOME_UNALLOWED else []:
            worker.is_allowed = chance.random() >= UNALLOWED
        for worker in self._workers:
            worker.seconds = self.seconds_each or worker.seconds
        signer, diverged = self._redis.signer, self._redis.diverged
        parts = world, self._store, self._witness
        self._schedulers = [
            Scheduler(*parts, place, faults.audit, signer, diverged) for place in range(schedulers)
        ]
        self._redis.on_sent = self._witness.sends
        self._redis.on_message = self._message
        self._redis.on_queued = self._queued
        self._redis.on_arrival = self._arrival
        self._plan(faults)
        self._plan_people(faults)

    def _run(self, run_id: str) -> Run:
        chance, iterations = self.world.chance, self.world.chance.choice(ITERATIONS)
        return Run(
            id=run_id,
            microbatches=chance.randint(1, 8),
            iterations=iterations,
            shards=chance.choice([None, None, 2, 5]),
            parameters=initial(run_id),
            fingerprint=FINGERPRINT if self._faults.is_pinned else None,
            evaluates=chance.random() < 0.25,
            diverges_at=chance.randrange(iterations) if chance.random() < 0.15 else None,
        )

    def _queued(self, message: ShardMessage) -> None:
        for one in (self._forger, self._imposter):
            if one:
                one.sees(message)

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
            world.at(at, partial(scheduler.crash, chance.choice(MOMENTS), seen=seen))
        for at, seconds in faults.freezes:
            scheduler, moment = chance.choice(self._schedulers), chance.choice(MOMENTS)
            world.at(at, partial(scheduler.freeze, moment, seconds))
        world.at(faults.until, self._all_is_well)

    def _plan_people(self, faults: Faults) -> None:
        world, chance = self.world, self.world.chance
        for at, seconds in faults.pauses:
            run_id = chance.choice(sorted(self._store.runs))
            world.at(at, partial(self._store.ask, run_id, Request.PAUSE))
            world.at(at + seconds, partial(self._store.resume, run_id))
        for at in faults.cancels:
            run_id = chance.choice(sorted(self._store.runs))
            world.at(at, partial(self._store.ask, run_id, Request.CANCEL))
        for at, seconds in faults.clock_jumps:
            world.at(at, partial(self._jump, seconds))

    def _jump(self, seconds: float) -> None:
        self.world.tell("clock", f"jumps by {seconds:.0f} seconds")
        self.world.clock_error += seconds

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
            scheduler.is_well()

    # Progress

    def _go_on(self) -> None:
        end = max(self._faults.until, *(at + s for at, s in self._faults.pauses), 0.0)
        end += self.progress_seconds
        while self._store.unfinished:
            if self.world.now > end:
                raise Violation("the runs are not complete, long after faults stopped")
            self.world.step()
            self._see_to_undecided()
        honest = {Kind.HONEST, Kind.FOREIGN}
        if self._forger and set(self._faults.kinds) <= honest and not self._imposter:
            for kind in ("worker_quarantined", "answer_invalid", "audit_mismatch"):
                if kind in self._witness.happened:
                    raise Violation(f"{kind}, where every worker is honest")
        for run in self._store.runs.values():
            self._judge(run)

    def _see_to_undecided(self) -> None:
        """Resume a run that one worker alone would have ended: another may come; or accept it."""
        for run_id in self._witness.undecided:
            self._resumed[run_id] += not self._redis.faults
            if self._resumed[run_id] <= MOST_RESUMED:
                self.world.after(5.0, partial(self._store.resume, run_id))
            else:
                self._store.unfinished.discard(run_id)
        self._witness.undecided.clear()

    def _judge(self, run: Run) -> None:
        """It ended as it had to, with the parameters that the reference has then."""
        if run.id in self._witness.waived_lies:
            return
        expected = run.iterations if run.diverges_at is None else run.diverges_at
        early = run.status in {RunStatus.CANCELLED, RunStatus.PAUSED}
        if run.completed > expected or (run.completed < expected and not early):
            raise Violation(f"{run.id} is {run.status} after {run.completed} iterations")
        if (run.status is RunStatus.FAILED) != (run.diverges_at is not None) and not early:
            raise Violation(f"{run.id} is {run.status}")
        if run.status is RunStatus.COMPLETED and run.evaluates and run.evaluated < run.iterations:
            raise Violation(f"{run.id} was not evaluated in the end")
        right = reference(run.id, run.microbatches, run.completed, run.fingerprint or "")
        if run.parameters != right:
            raise Violation(f"{run.id} ends with other parameters than the reference")
