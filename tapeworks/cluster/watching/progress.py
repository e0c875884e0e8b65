"""The progress of a run for people: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from types import TracebackType
from typing import Protocol

from tapeworks.cli.outputs.describe import duration_text, evaluation_words
from tapeworks.cli.outputs.printing import say, visible
from tapeworks.storage.records import EvaluationRecord, IterationRecord, sum_words
from tapeworks.storage.usual_images import UsualImages

#: Seconds between two lines where there is no terminal.
LINE_SECONDS = 2.0

#: Iterations whose median is the shown speed: a single slow one changes nothing.
NEWEST = 15


class Pace:
    """The seconds of an iteration, from those that were measured."""

    def __init__(self) -> None:
        self._newest = deque[float](maxlen=NEWEST)
        self._term: int | None = None

    def measure(self, record: IterationRecord) -> None:
        """Take an iteration into account, but for the first of a claim: it may have compiled."""
        if record.term == self._term:
            self._newest.append(record.seconds)
        self._term = record.term

    @property
    def seconds(self) -> float | None:
        """Of the median iteration; None until one was measured."""
        return median(self._newest) if self._newest else None

    def words(self, record: IterationRecord, left: int) -> str:
        """Return speed and workers in an iteration, and the time of those that are `left`."""
        workers = f"{record.workers} {'worker' if record.workers == 1 else 'workers'}"
        if not self.seconds:
            return workers
        speed = f"{record.images / self.seconds:,.0f} images/s"
        return f"{speed}  {workers}  {duration_text(left * self.seconds)} left"


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
        self._pace, self._measured = Pace(), ""
        self._said_at = self._evaluated_at = float("-inf")
        self._newest: IterationRecord | None = None
        self._unsaid, self._said = "", completed
        self._usual = UsualImages()
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
        elif self._newest and self._said != self._completed and not self._unsaid:
            self.notice(self._line(self._text(self._newest)))
        self._say_rest()

    def notice(self, sentence: str) -> None:
        """A sentence between the iterations."""
        if self._bar:
            self._bar.print(sentence)
        else:
            say(sentence)

    def show(self, record: IterationRecord) -> None:
        """An iteration was committed."""
        is_first, self._newest = self._newest is None, record
        self._completed = record.iteration + 1
        self._pace.measure(record)
        if self._bar:
            if self._usual.rise(record.images):
                self.notice(f"Each loss is the {sum_words(record.images)} of an iteration")
            self._bar.update(self._completed, self._text(record))
            return
        ends = self._completed in (1, self._iterations)
        if is_first or ends or time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said_at, self._said = time.monotonic(), self._completed
            self.notice(self._line(self._text(record)))

    def show_evaluation(self, record: EvaluationRecord) -> None:
        """The parameters were evaluated: shown now, and with the iterations that follow."""
        done, measured = record.completed_iterations, " ".join(evaluation_words(record))
        self._measured = f"held-out {measured}  "
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

    def _line(self, text: str) -> str:
        return f"iteration {self._completed}/{self._iterations}  {text}"

    def _text(self, record: IterationRecord) -> str:
        pace = self._pace.words(record, self._iterations - self._completed)
        return f"loss {self._usual.loss(record)}  {self._measured}{pace}"


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
