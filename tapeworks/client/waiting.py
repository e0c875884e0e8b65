"""Waiting for a run, with its progress shown meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tapeworks.cluster.watching.program_progress import Display
from tapeworks.cluster.watching.progress import Progress
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus

if TYPE_CHECKING:
    from tapeworks.client.runs import Run

#: Seconds between two looks at a run that is waited for.
LOOK_SECONDS = 0.2


class Follower:
    """Looks at a run again and again, and shows its newest iteration and evaluation."""

    def __init__(self, history: History, run: Run, progress: Progress) -> None:
        self._history, self._run, self._progress = history, run, progress
        self._completed, self._evaluated = run.record.completed_iterations, 0
        self._status: RunStatus | None = None

    def tell(self, sentence: str) -> None:
        """Show a sentence."""
        self._progress.notice(sentence)

    def look(self) -> Run:
        """Look at the run, and show what is new of it."""
        record = self._run.refresh().record
        if record.completed_iterations > self._completed:
            self._completed = record.completed_iterations
            for newest in self._history.iterations(record.id, self._completed - 1)[:1]:
                self._progress.show(newest)
            if record.configuration["test_images"]:
                self._look_at_evaluations()
        if record.status is RunStatus.QUEUED and self._status is not record.status:
            self.tell(self._run._waiting_words())
        self._status = record.status
        return self._run

    def _look_at_evaluations(self) -> None:
        for newest in self._history.evaluations(self._run.id)[-1:]:
            if newest.completed_iterations != self._evaluated:
                self._evaluated = newest.completed_iterations
                self._progress.show_evaluation(newest)


@contextmanager
def follow(history: History, run: Run, display: Display) -> Iterator[Follower]:
    """Show the progress of a run while the block lasts."""
    record = run.record
    with Progress(record.iterations, record.completed_iterations, display.make_bar) as progress:
        yield Follower(history, run, progress)


def is_over(run: Run) -> bool:
    """True of a run that has ended, or is paused."""
    return run.status.is_finished or run.status is RunStatus.PAUSED
