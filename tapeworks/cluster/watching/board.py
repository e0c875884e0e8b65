"""The progress of several runs for people: a table that changes on a terminal, lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from tapeworks.cli.outputs.describe import share_text
from tapeworks.cli.outputs.listings import drop_settings
from tapeworks.cli.outputs.printing import say, table_lines, visible
from tapeworks.cluster.watching.progress import LINE_SECONDS
from tapeworks.cluster.watching.watched import (
    Best,
    Watched,
    find_best,
    newest_loss,
    setting_columns,
    share_images,
)
from tapeworks.comparison.texts import reference_labels
from tapeworks.storage.records import IterationRecord, RunRecord, RunStatus, loss_text, sum_words
from tapeworks.storage.usual_images import UsualImages

if TYPE_CHECKING:
    from rich.text import Text

#: Lines of the table beside its rows: the heading, two at its foot, and the terminal's next one.
OTHER_LINES = 4

#: The least rows that are shown, however low the terminal is.
LEAST_ROWS = 3

#: Stands before the best run.
MARK = "*"


class Board(Protocol):
    """Shows several runs."""

    def __enter__(self) -> Board: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None: ...

    def show(self, watched: Sequence[Watched]) -> None:
        """Show how they stand now."""


def make_board() -> Board:
    """Return a table where standard error is a terminal, else lines."""
    return _Table() if sys.stderr.isatty() else _Lines()


def table_of(watched: Sequence[Watched], width: int, rows: int) -> list[str]:
    """Return the lines of a table of so many rows and characters; the best run has a mark."""
    best = find_best(watched)
    shown = _choose_rows(watched, best and best.one, rows)
    settings = setting_columns(shown)
    labels = dict(zip(watched, reference_labels([one.run for one in watched]), strict=True))
    columns = {
        " ": [MARK if best and one is best.one else " " for one in shown],
        "RUN": [labels[one] for one in shown],
        "STATUS": [one.run.status.value for one in shown],
        "ITERATIONS": [one.done for one in shown],
        **_measures(shown, by_image=not share_images(watched)),
        **{name.upper(): texts for name, texts in settings.items()},
        "IMAGES/S": [one.speed for one in shown],
        "LEFT": [one.left for one in shown],
    }
    drop_settings(columns, settings, width)
    lines = table_lines(list(columns), list(zip(*columns.values(), strict=True)))
    return [line[:width] for line in [*lines, *_foot(watched, len(shown), best)]]


def _choose_rows(watched: Sequence[Watched], best: Watched | None, rows: int) -> list[Watched]:
    """Those that run and the best first, then those that wait; in the order that they have."""

    def rank(one: Watched) -> int:
        return 0 if one.run.status is RunStatus.RUNNING or one is best else 1 + one.is_over

    chosen = sorted(watched, key=rank)[:rows]
    return [one for one in watched if one in chosen]


def _measures(shown: Sequence[Watched], *, by_image: bool) -> dict[str, list[str]]:
    heading = "LOSS PER IMAGE" if by_image else "LOSS"
    measured = {heading: [newest_loss(one, by_image=by_image) for one in shown]}
    if any(one.run.test_accuracy is not None for one in shown):
        measured["HELD-OUT ACCURACY"] = [share_text(one.run.test_accuracy) for one in shown]
    elif any(one.run.test_loss is not None for one in shown):
        measured["HELD-OUT LOSS"] = [loss_text(one.run.test_loss) for one in shown]
    return measured


def _foot(watched: Sequence[Watched], shown: int, best: Best | None) -> list[str]:
    hidden = f"; {len(watched) - shown} not shown" if shown < len(watched) else ""
    newest = [one.newest for one in watched if one.newest]
    told = []
    if newest and share_images(watched):
        told.append(f"a loss is the {sum_words(newest[0].images)}")
    if best:
        told.append(f"{MARK} the best {best.measure} so far")
    return [f"{_count_by_status(watched)}{hidden}", "; ".join(told)]


def _count_by_status(watched: Sequence[Watched]) -> str:
    counted = Counter(one.run.status.value for one in watched)
    words = ", ".join(f"{count} {status}" for status, count in counted.items())
    return f"{len(watched)} {'run' if len(watched) == 1 else 'runs'}: {words}"


class _Lines:
    """A line about each run now and then, the less often the more of them run."""

    def __init__(self) -> None:
        self._said_at = dict[str, float]()
        self._said = dict[str, tuple[int, RunStatus]]()
        self._usual = UsualImages()

    def __enter__(self) -> _Lines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None: ...

    def show(self, watched: Sequence[Watched]) -> None:
        if not self._said:
            say(_count_by_status(watched))
        best = find_best(watched)
        running = sum(one.run.status is RunStatus.RUNNING for one in watched)
        pause = LINE_SECONDS * max(running, 1)
        labels = reference_labels([one.run for one in watched])
        for one, label in zip(watched, labels, strict=True):
            is_best = best is not None and one is best.one
            self._show(one, f"{label}{' (best so far)' if is_best else ''}", pause)

    def _show(self, one: Watched, label: str, pause: float) -> None:
        run, now = one.run, time.monotonic()
        done, status = self._said.get(run.id, (0, None))
        is_due = one.is_over or now - self._said_at.get(run.id, -math.inf) >= pause
        if one.newest and run.completed_iterations > done and is_due:
            done, self._said_at[run.id] = run.completed_iterations, now
            say(f"{label}: {self._line(one, one.newest)}")
        self._said[run.id] = done, run.status
        if one.is_over and status is not run.status:
            say(_end_words(run))

    def _line(self, one: Watched, newest: IterationRecord) -> str:
        accuracy = one.run.test_accuracy
        measured = "" if accuracy is None else f"  held-out accuracy {share_text(accuracy)}"
        left = one.run.iterations - one.run.completed_iterations
        loss = f"loss {self._usual.loss(newest)}{measured}"
        return f"iteration {one.done}  {loss}  {one.pace.words(newest, left)}"


def _end_words(run: RunRecord) -> str:
    loss = "" if run.final_loss is None else f", loss {run.last_loss}"
    accuracy = run.test_accuracy
    measured = "" if accuracy is None else f", accuracy {share_text(accuracy)} on held-out images"
    reason = f": {run.reason}" if run.reason else ""
    return f"Run {run.label} is {run.status.value}{loss}{measured}{reason}"


class _Table:
    """Rich's live display, loaded only where there is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False)
        self._watched: Sequence[Watched] = ()

    def __enter__(self) -> _Table:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.vertical_overflow = "visible"  # at last, all of them
        self._show(len(self._watched))
        self._live.stop()
        for one in self._watched:
            if one.is_over and one.run.reason:
                say(_end_words(one.run))

    def show(self, watched: Sequence[Watched]) -> None:
        self._watched = watched
        self._show(max(self._live.console.size.height - OTHER_LINES, LEAST_ROWS))

    def _show(self, rows: int) -> None:
        if self._watched:
            width = self._live.console.size.width - 1
            self._live.update(_text(table_of(self._watched, width, rows)), refresh=True)


def _text(lines: Sequence[str]) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop")
    for line in lines:
        text.append(f"{visible(line)}\n", style="bold" if line.startswith(MARK) else "")
    return text
