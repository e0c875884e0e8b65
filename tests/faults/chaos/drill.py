"""One seed: a world, a nemesis, runs until all faults have struck, and a verdict."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.chaos.checker import Verdict, judged
from tests.faults.chaos.commands import options, undisturbed
from tests.faults.chaos.faults import FITTING_LIE, LIES, possibilities, schedule
from tests.faults.chaos.history import History, Result, Unavailable
from tests.faults.chaos.journal import Entry, Journal
from tests.faults.chaos.nemesis import Nemesis
from tests.faults.chaos.observer import Observer
from tests.faults.chaos.world import Shape, World

#: Iterations of a run for each fault of its seed: about as many as are computed between two.
ITERATIONS_PER_FAULT = 12

#: No fault strikes when fewer iterations than this are not committed, so that a commit always
#: follows: some twenty may be computed by then and wait to be committed together.
LAST_ITERATIONS = 40

#: So many faults may strike between two commits: overlapping is wanted, but where starting a worker
#: takes longer than the next ones take to strike, the training would never move.
MOST_BETWEEN_COMMITS = 3

#: Seconds without a commit after which a run counts as hung.
HUNG_SECONDS = 120.0

#: Seconds between two looks at a run that is waited for.
LOOK_SECONDS = 0.1

#: States that a run does not leave by itself.
ENDS = ("completed", "failed", "cancelled", "paused")


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The drill of one seed."""

    seed: int
    faults: int
    shape: Shape
    audit: bool = False  #: the liar's lies have the right form, and the run is audited

    @property
    def iterations(self) -> int:
        """Of each of its runs."""
        return max(self.faults * ITERATIONS_PER_FAULT, 2 * LAST_ITERATIONS)

    @property
    def name(self) -> str:
        """For people and files."""
        return f"seed-{self.seed}-{self.shape.database}{'-audit' if self.audit else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of one seed."""

    order: Order
    network: str  #: what was said of namespaces
    seconds: float
    verdicts: Sequence[Verdict]
    entries: Sequence[Entry]
    events: dict[str, int]  #: that the product noted of its runs, by kind

    @property
    def is_good(self) -> bool:
        """True if every run kept every promise, under all the faults."""
        return bool(self.verdicts) and all(verdict.is_good for verdict in self.verdicts)


class Hung(Exception):
    """A run came to no end; or to a wrong one."""


def drill(order: Order, directory: Path) -> Outcome:
    """Compute the undisturbed run, then the same under faults, and judge."""
    directory.mkdir(parents=True)
    journal = Journal(directory / "journal.jsonl")
    try:
        database, run_id = undisturbed(order.seed, order.iterations, directory)
        expected = History(database).results(run_id)
        journal.write("undisturbed", seed=order.seed, losses=[result.loss for result in expected])
        with World(order.shape, directory, journal) as world:
            return _Drill(order, world, expected).outcome()
    finally:
        journal.close()


class _Drill:
    def __init__(self, order: Order, world: World, expected: Sequence[Result]) -> None:
        self._order, self._world, self._expected = order, world, expected
        self._history = History(world.database.url)
        possible = possibilities(order.shape.database, bool(world.network.links))
        lies = (FITTING_LIE,) if order.audit else LIES
        faults = schedule(order.seed, possible, lies)
        self._nemesis = Nemesis(world, faults, self._history)
        self._events: dict[str, int] = {}

    def outcome(self) -> Outcome:
        world, verdicts = self._world, list[Verdict]()
        world.wait_until_ready()
        began = time.monotonic()
        while self._nemesis.faults < self._order.faults:
            verdicts.append(self._run())
            if not verdicts[-1].is_good:
                break
        return Outcome(
            order=self._order,
            network=world.said,
            seconds=time.monotonic() - began,
            verdicts=verdicts,
            entries=list(world.journal.entries),
            events=self._events,
        )

    def _run(self) -> Verdict:
        audit = ["--audit", "1"] if self._order.audit else []
        arguments = options(self._order.seed, self._order.iterations)
        run_id = self._world.submit([*arguments, *audit])
        self._world.journal.write("submitted", run_id=run_id)
        observer, problems = Observer(self._history, run_id, self._world.journal), list[str]()
        try:
            self._strike(run_id, observer)
            self._wait_for_the_end(run_id, observer)
        except Hung as error:
            problems.append(str(error))
        finally:
            observer.close()
        self._nemesis.heal_all()
        status = self._status(run_id)
        self._world.journal.write("run ended", run_id=run_id, problems=problems, **status)
        return self._judge(run_id, problems)

    def _strike(self, run_id: str, observer: Observer) -> None:
        while observer.last < 0:
            self._go_on(run_id, observer)
        stood_at = deque[int](maxlen=MOST_BETWEEN_COMMITS)
        while self._nemesis.faults < self._order.faults:
            if observer.last >= self._order.iterations - LAST_ITERATIONS:
                return
            if list(stood_at) == [observer.last] * MOST_BETWEEN_COMMITS:
                self._go_on(run_id, observer)
                continue
            stood_at.append(observer.last)
            self._nemesis.strike_next(run_id)
            self._check(run_id, observer)

    def _wait_for_the_end(self, run_id: str, observer: Observer) -> None:
        while self._status(run_id).get("status") != "completed":
            self._go_on(run_id, observer)

    def _go_on(self, run_id: str, observer: Observer) -> None:
        self._nemesis.tend(LOOK_SECONDS)
        self._check(run_id, observer)

    def _check(self, run_id: str, observer: Observer) -> None:
        status = self._status(run_id)
        if status.get("status") in ENDS and status["status"] != "completed":
            raise Hung(f"run {run_id} is {status['status']}: {status['reason']}")
        if time.monotonic() - observer.seen_at > HUNG_SECONDS:
            raise Hung(f"run {run_id} stands at {observer.last + 1} for {HUNG_SECONDS:.0f} s")

    def _status(self, run_id: str) -> dict[str, Any]:
        try:
            return self._history.run(run_id)
        except Unavailable:
            return {}

    def _judge(self, run_id: str, problems: Sequence[str]) -> Verdict:
        for kind, count in self._history.events(run_id).items():
            self._events[kind] = self._events.get(kind, 0) + count
        results, ledger = self._history.results(run_id), self._history.ledger(run_id)
        return judged(results, ledger, self._expected, problems)
