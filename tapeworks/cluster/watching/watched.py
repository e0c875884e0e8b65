"""Runs that are followed together, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tapeworks.cli.outputs.describe import duration_text, setting_text, share_text
from tapeworks.cluster.watching.progress import Pace
from tapeworks.comparison.runs import differing_settings, mean_loss
from tapeworks.storage.queries.differing import rank_setting
from tapeworks.storage.records import IterationRecord, RunRecord, RunStatus, loss_text


class Watched:
    """A run that is followed, as of the newest look at it."""

    def __init__(self, run: RunRecord) -> None:
        self.run = run
        self.newest: IterationRecord | None = None
        self.pace = Pace()

    def look(self, run: RunRecord, iterations: Sequence[IterationRecord]) -> None:
        """Take in how it stands, and the iterations that have been added since."""
        self.run = run
        for self.newest in iterations:
            self.pace.measure(self.newest)

    @property
    def seen(self) -> int:
        """Iterations that were looked at, or are before its own."""
        return self.newest.iteration + 1 if self.newest else self.run.first_iteration

    @property
    def is_over(self) -> bool:
        """True if nothing happens to it unless somebody wants it."""
        return self.run.status.is_finished or self.run.status is RunStatus.PAUSED

    @property
    def done(self) -> str:
        """Its completed iterations among all of them."""
        return f"{self.run.completed_iterations}/{self.run.iterations}"

    @property
    def left(self) -> str:
        """The time that it takes yet, as measured; a dash if that is not known."""
        if self.run.status is not RunStatus.RUNNING or not self.pace.seconds:
            return "-"
        return duration_text(
            (self.run.iterations - self.run.completed_iterations) * self.pace.seconds
        )

    @property
    def speed(self) -> str:
        """Images in a second, as measured."""
        if self.run.status is not RunStatus.RUNNING or not (self.newest and self.pace.seconds):
            return "-"
        return f"{self.newest.images / self.pace.seconds:,.0f}"


class Best(NamedTuple):
    """The best of several runs so far."""

    one: Watched
    measure: str  #: by which it is
    value: str


def find_best(watched: Sequence[Watched]) -> Best | None:
    """Return the best run; None while nothing is known of any.

    It has the highest newest accuracy on held-out images if a run has one, else the lowest newest
    loss on them, else the lowest newest loss of a mean image. A run that failed is not the best.
    """
    able = [one for one in watched if one.run.status is not RunStatus.FAILED]
    sure = [one for one in able if one.run.test_accuracy is not None]
    if sure:
        one = min(sure, key=lambda one: (-(one.run.test_accuracy or 0), one.run.test_loss))
        return Best(one, "accuracy on held-out images", share_text(one.run.test_accuracy))
    if known := _least(able, lambda one: one.run.test_loss):
        return Best(known, "loss on held-out images", loss_text(known.run.test_loss))
    if known := _least(able, lambda one: mean_loss(one.newest) if one.newest else None):
        by_image = not share_images(watched)
        measure = "loss per image" if by_image else "loss"
        return Best(known, measure, newest_loss(known, by_image=by_image))
    return None


def _least(able: Sequence[Watched], loss: Callable[[Watched], float | None]) -> Watched | None:
    known = [(value, one) for one in able if (value := loss(one)) is not None]
    return min(known, key=lambda found: found[0])[1] if known else None


def share_images(watched: Sequence[Watched]) -> bool:
    """Check that their losses are sums over equal numbers of images, so that they compare."""
    return len({one.newest.images for one in watched if one.newest}) < 2


def newest_loss(one: Watched, *, by_image: bool) -> str:
    """Return its newest loss, of a mean image if that is asked for."""
    if one.newest is None:
        return loss_text(None)
    return loss_text(mean_loss(one.newest) if by_image else one.newest.loss)


def setting_columns(watched: Sequence[Watched]) -> dict[str, list[str]]:
    """Return the settings in which they differ, the most telling first, with their texts."""
    settings = differing_settings([one.run for one in watched])
    settings.pop("iterations", None)  # stand beside those that are completed
    names = sorted(settings, key=rank_setting)
    return {name: list(map(setting_text, settings[name])) for name in names}


def best_words(watched: Sequence[Watched]) -> str | None:
    """Return a sentence about the best of several runs, with the settings that make it one."""
    best = find_best(watched)
    if best is None or len(watched) < 2:
        return None
    place = watched.index(best.one)
    columns = setting_columns(watched).items()
    made = "".join(f", {name}={texts[place]}" for name, texts in columns)
    return f"Best {best.measure}: {best.value}, run {best.one.run.label}{made}"
