"""The progress of a run for people: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from tapeworks.cli.describe import evaluation_words
from tapeworks.cli.output import say, visible
from tapeworks.storage.records import EvaluationRecord, IterationRecord

#: Seconds between two lines where there is no terminal.
LINE_SECONDS = 2.0

#: Share of the newest iteration in the shown speed.
NEWEST_SHARE = 0.2


class Bar(Protocol):
    """A line that changes, with sentences above it."""

    def start(self) -> None:
        """Show it."""

    def stop(self) -> None:
        """Leave it as it is."""

    def print(self, sentence: str) -> None:
        """Show a sentence."""

    def update(self, completed: int, text: str) -> None:
        """Show how far the run is."""


#: Makes the bar of a run from its iterations and those that are completed; None: lines instead.
MakeBar = Callable[[int, int], Bar | None]


def terminal_bar(iterations: int, completed: int) -> Bar | None:
    """Return a bar where standard error is a terminal."""
    return _TerminalBar(iterations, completed) if sys.stderr.isatty() else None


class Progress:
    """Shows iteration, loss, images/s, workers and time left."""

    def __init__(
        self, iterations: int, completed: int = 0, make_bar: MakeBar = terminal_bar
    ) -> None:
        self._iterations, self._completed = iterations, completed
        self._seconds: float | None = None
        self._measured = ""
        self._shown = 0
        self._said_at = self._evaluated_at = float("-inf")
        self._newest: IterationRecord | None = None
        self._unsaid = ""
        self._bar = make_bar(iterations, completed)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        self._say_rest()

    def notice(self, sentence: str) -> None:
        """A sentence between the iterations."""
        if self._bar:
            self._bar.print(sentence)
        else:
            say(sentence)

    def show(self, record: IterationRecord) -> None:
        """An iteration was committed."""
        self._newest, self._completed = record, record.iteration + 1
        # The first iteration may have compiled; it says little about the others.
        known = self._seconds if self._seconds and self._shown > 1 else record.seconds
        self._seconds = NEWEST_SHARE * record.seconds + (1 - NEWEST_SHARE) * known
        self._shown += 1
        if self._bar:
            self._bar.update(self._completed, self._text(record))
            return
        ends = self._completed in (1, self._iterations)
        if ends or time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at = time.monotonic()
            self.notice(f"iteration {self._completed}/{self._iterations}  {self._text(record)}")

    def show_evaluation(self, record: EvaluationRecord) -> None:
        """The parameters were evaluated: shown now, and with the iterations that follow."""
        done, measured = record.completed_iterations, " ".join(evaluation_words(record))
        self._measured = f"{measured}  "
        if self._bar:
            if self._newest:
                self._bar.update(self._completed, self._text(self._newest))
            return
        self._unsaid = f"iteration {done}/{self._iterations}  {measured} on held-out images"
        if time.monotonic() - self._evaluated_at >= LINE_SECONDS:
            self._evaluated_at = time.monotonic()
            self._say_rest()

    def _say_rest(self) -> None:
        """Say the newest evaluation, unless it was said."""
        if self._unsaid:
            self.notice(self._unsaid)
        self._unsaid = ""

    def _text(self, record: IterationRecord) -> str:
        seconds = self._seconds or record.seconds
        left = (self._iterations - self._completed) * seconds
        workers = f"{record.workers} {'worker' if record.workers == 1 else 'workers'}"
        speed = f"{record.images / seconds:,.0f} images/s  {workers}  {_duration(left)} left"
        return f"loss {record.loss:.4f}  {self._measured}{speed}"


class _TerminalBar:
    """Rich's progress bar, loaded only where there is a terminal."""

    def __init__(self, iterations: int, completed: int) -> None:
        from rich import progress
        from rich.console import Console

        self._progress = progress.Progress(
            progress.TextColumn("iteration {task.completed}/{task.total}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=iterations, completed=completed)

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def print(self, sentence: str) -> None:
        console = self._progress.console
        console.print(visible(sentence), markup=False, highlight=False, emoji=False)

    def update(self, completed: int, text: str) -> None:
        self._progress.update(self._task, completed=completed, description=text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
