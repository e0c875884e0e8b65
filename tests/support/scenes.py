"""A driven run, and what is done to its database meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tapeworks.model import datasets
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.driving.keeper import Control, Lease
from tapeworks.scheduler.events import IterationCommitted, Listener, Notice, broadcast, ignore
from tapeworks.storage.errors import StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.support.commits import Moment
from tests.support.desk import SMALL
from tests.support.listeners import on
from tests.support.training import Digests, digests, settings, submitted

#: Of the runs here: every commit keeps parameters of more than a page of SQLite's, and needs room.
CONFIG = settings(
    **SMALL | {"iterations": 5, "filters": 40, "checkpoint_every": 1, "test_images": 8}
)

#: What the driver tells of an outage.
OUTAGE = ["database_unreachable", "database_back"]

#: Opens a history whose commits an observer sees.
Observed = Callable[..., History]


@dataclass
class Scene:
    """A driven run, and what is done to its database meanwhile."""

    history: History
    control: Control = field(default_factory=Control)
    on_iteration: Callable[[int], None] = lambda _: None
    on_outage: Callable[[], None] = lambda: None
    lease: Lease = field(default_factory=Lease)
    notices: list[str] = field(default_factory=list)
    listener: Listener = ignore

    def driver(self) -> Driver:
        data = datasets.load(CONFIG)

        def notice(event: Notice) -> None:
            self.notices.append(event.kind)
            if event.kind == OUTAGE[0]:
                self.on_outage()

        def committed(event: IterationCommitted) -> None:
            self.on_iteration(event.record.iteration)

        return Driver(
            history=self.history,
            dispatcher=LocalDispatcher(),
            control=self.control,
            load=lambda _: data,
            events=broadcast(on(Notice, notice), on(IterationCommitted, committed), self.listener),
            lease=self.lease,
        )

    def play(self) -> RunRecord:
        """Submit a run and drive it to its end."""
        run, driver = submitted(self.history, CONFIG), self.driver()
        driver.drive(driver.claim(run.id))
        return self.history.find_run(run.id)

    def events(self, run: RunRecord) -> list[str]:
        return [entry.kind for entry in self.history.events(run.id)]


def is_whole(history: History, run: RunRecord, expected: Digests) -> None:
    """The run is completed, with an undisturbed one's bits and each iteration and image once."""
    assert run.status is RunStatus.COMPLETED
    assert digests(history, run.id) == expected
    numbers = list(range(CONFIG.iterations))
    assert [record.iteration for record in history.iterations(run.id)] == numbers
    assert [entry.iteration for entry in history.ledger(run.id)] == numbers
    assert [entry.completed_iterations for entry in history.evaluations(run.id)] == [len(numbers)]


@dataclass
class Fault:
    """An observer that does something at the n-th of the moments of one kind, counted from 1."""

    moment: Moment
    number: int
    action: Callable[[], None]
    seen: int = 0

    def __call__(self, moment: Moment) -> None:
        self.seen += moment == self.moment
        if moment == self.moment and self.seen == self.number:
            self.action()


def lose() -> None:
    raise StorageUnreachable("The connection was lost.")
