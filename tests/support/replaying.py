"""Replays inside the test's own process, and what they said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tapeworks.scheduler.dispatch.contract import Dispatcher, Result, Watcher, Work
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.events import Event, Notice
from tapeworks.scheduler.replay.differences import Difference
from tapeworks.scheduler.replay.replay import prepare
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tests.support.desk import SMALL
from tests.support.training import drive, settings, submitted

#: Eight images in three microbatches, in each of five iterations.
SETTINGS: dict[str, Any] = SMALL | {"iterations": 5, "microbatch_size": 3, "learning_rate": 0.1}


class Bystander:
    """Watches a replay and lets it go on."""

    def tick(self, *, waiting: bool = False) -> None:
        """Nothing to keep."""

    def events(self, event: Event) -> None:
        """Hear of nothing that people should read."""
        assert not isinstance(event, Notice), event


class Counting(LocalDispatcher):
    """Remembers what it computed, and whether it was left in order."""

    def __init__(self) -> None:
        super().__init__()
        self.iterations: list[int] = []
        self.ended = False

    def compute(self, work: Work, watcher: Watcher) -> Result:
        self.iterations.append(work.iteration)
        return super().compute(work, watcher)

    def end(self, run_id: str, term: int) -> None:
        self.ended = True


def trained(history: History, dispatcher: Dispatcher | None = None, **values: Any) -> RunRecord:
    """Drive a run of `SETTINGS` but for these values, in this process."""
    run = submitted(history, settings(**SETTINGS | values))
    return drive(history, dispatcher or LocalDispatcher(), run).run


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A replay's findings."""

    same: list[int]  #: iterations
    computed: list[int]
    difference: Difference | None = None


def replayed(history: History, run: RunRecord, *wanted: range) -> Replayed:
    """Replay these iterations, or all, in this process."""
    dispatcher = Counting()
    same: list[int] = []
    difference: Difference | None = None
    for found in prepare(history, run, wanted).compare(dispatcher, Bystander()):
        assert difference is None, "a difference is the last that is said"
        if isinstance(found, Difference):
            difference = found
        else:
            same.append(found.iteration)
    assert dispatcher.ended
    return Replayed(same=same, computed=dispatcher.iterations, difference=difference)
