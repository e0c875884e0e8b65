"""A run of a client: its history, and what may be wished of it."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, Unpack

from tapeworks.cli import given
from tapeworks.cli.given import Described, Noted
from tapeworks.client.calls import in_python_words
from tapeworks.client.frames import (
    make_frame,
    make_history_frame,
    make_image_frame,
    make_prediction_frame,
)
from tapeworks.client.notebooks import run_html
from tapeworks.client.plots import Picture, PlotOptions, draw, read_by
from tapeworks.client.trained import Images, Trained, read_choice
from tapeworks.client.waiting import LOOK_SECONDS, follow, is_over
from tapeworks.cluster.watching.program_progress import choose_display
from tapeworks.cluster.watching.serving import describe_waiting
from tapeworks.errors import InvalidValue
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.parameters import Arrays, from_bytes
from tapeworks.plotting.hardest import RunImage, find_images
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.kinds import check_iterations
from tapeworks.scheduler.submission import retry
from tapeworks.storage.errors import NotCopied
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    EvaluationRecord,
    EventRecord,
    LedgerRecord,
    RunRecord,
    RunStatus,
    WorkerSummary,
)

if TYPE_CHECKING:
    from pandas import DataFrame


logger = logging.getLogger(__name__)


class Run:
    """A run as it stood when it was last looked at; `refresh` looks again, as `wait` does."""

    def __init__(self, history: History, record: RunRecord) -> None:
        self._history = history
        #: Everything of its row.
        self.record = record

    def __reduce__(self) -> Never:
        raise NotCopied("run")

    def __repr__(self) -> str:
        run = self.record
        loss = "" if run.final_loss is None else f" loss={run.last_loss}"
        accuracy = "" if run.test_accuracy is None else f" test_accuracy={run.test_accuracy:.1%}"
        name = f" {run.name!r}" if run.name else ""
        done = f"{run.completed_iterations}/{run.iterations}"
        return f"<Run {run.id}{name} {run.status} {done}{loss}{accuracy}>"

    def _repr_html_(self) -> str:
        return run_html(self.record, (f"{key}={value}" for key, value in self.tags.items()))

    @property
    def id(self) -> str:
        """Sorts by time and is unique."""
        return self.record.id

    @property
    def name(self) -> str | None:
        """The name that people call it by."""
        return self.record.name

    @property
    def status(self) -> RunStatus:
        """Its status when it was last looked at."""
        return self.record.status

    @property
    def config(self) -> RunConfig:
        """Its configuration, with every setting."""
        return restore_config(self.record.configuration)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, by key."""
        return self._history.tags(self.id)

    def refresh(self) -> Run:
        """Look again; the same object."""
        self._history.release_abandoned()
        self.record = self._history.find_run(self.id)
        return self

    def wait(self, timeout_seconds: float | None = None, *, progress: bool = True) -> Run:
        """Wait until it ends or is paused. Its status tells how: a failure is not an error here.

        Shows its progress on a terminal and in a notebook. Raises `TimeoutError` when it still goes
        on then, and leaves it alone.
        """
        limit = given.read_optional(given.read_seconds, "timeout_seconds", timeout_seconds)
        display = choose_display(is_shown=given.read_truth("progress", progress))
        deadline = math.inf if limit is None else time.monotonic() + limit
        if is_over(self.refresh()):
            return self
        with follow(self._history, self, display) as follower:
            while not is_over(follower.look()):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Run {self.id} is {self.status} after {limit:g} seconds.")
                time.sleep(LOOK_SECONDS)
        return self

    def _waiting_words(self) -> str:
        return describe_waiting(self._history.database, self.record)

    # Its history

    def history(self) -> DataFrame:
        """A row per committed iteration: loss, accuracy, gradient norm, seconds, digests.

        `test_loss`, a sum over `test_images`, and `test_accuracy` are there where it was evaluated.
        """
        iterations = self._history.iterations(self.id)
        return make_history_frame(iterations, self._history.evaluations(self.id))

    def ledger(self, iteration: int | None = None) -> DataFrame:
        """Return which worker computed which images, of one iteration or of all.

        An iteration that was not recorded in full (`record_images_every`) has no times.
        """
        chosen = given.read_optional(given.read_whole, "iteration", iteration)
        return make_frame(LedgerRecord, self._history.ledger(self.id, chosen))

    def workers(self) -> DataFrame:
        """A row per worker: images, answers, seconds."""
        return make_frame(WorkerSummary, self._history.workers(self.id))

    def events(self) -> DataFrame:
        """Return its events, in order."""
        return make_frame(EventRecord, self._history.events(self.id))

    def evaluations(self) -> DataFrame:
        """Loss and accuracy on held-out images, in the order of their iterations."""
        return make_frame(EvaluationRecord, self._history.evaluations(self.id))

    @in_python_words
    def images(
        self, iteration: int | None = None, *, by: str = "last", limit: int | None = None
    ) -> DataFrame:
        """A row per image of an iteration, in the order of its image set; or per image of the run.

        Of an iteration: its number in the data, loss, gradient norm, and the prediction as an index
        into the run's classes. What the network or its gradients do not give is missing in every
        row: NaN, or pandas.NA. Raises storage's `IterationNotFound`, or `IterationNotRecorded` for
        one of which these were not stored (`record_images_every`).

        Without an iteration, what `tapeworks images` lists: those with the highest losses first,
        by the `last` known one or by the `mean`, with labels, `limit` of them or all.
        """
        most = given.read_optional(given.read_count, "limit", limit)
        if iteration is None:
            hardest = self._list_hardest(read_by("by", by), given.LARGEST if most is None else most)
            return make_frame(RunImage, hardest)
        values = self._history.image_values(self.id, given.read_whole("iteration", iteration))
        return make_image_frame(values)[:most]

    def _list_hardest(self, by: By, limit: int) -> list[RunImage]:
        run = self.refresh().record
        check_iterations(run, None)
        return find_images(self._history, run, by=by, limit=limit)

    def parameters(self, completed_iterations: int | None = None) -> Arrays:
        """The arrays after so many iterations, or the newest, by name.

        Raises storage's `CheckpointNotFound` for what was not kept.
        """
        after = given.read_optional(given.read_whole, "completed_iterations", completed_iterations)
        return from_bytes(self._history.checkpoint(self.id, after).parameters)

    # Its use

    @in_python_words
    def plot(self, kind: str = "loss", *beside: Run, **options: Unpack[PlotOptions]) -> Picture:
        """A picture as `tapeworks plot` draws it, of this run and those beside it.

        A notebook shows it, its `save` writes it. Raises `UsageError` for one that cannot be.
        """
        for other in beside:
            if not isinstance(other, Run):
                raise InvalidValue("runs, each as client.run(name) returns it", "beside", other)
        runs = {run.id: run.refresh().record for run in (self, *beside)}
        return draw(self._history, list(runs.values()), kind, options)

    @in_python_words
    def evaluate(
        self,
        *,
        after: int | None = None,
        best: str | None = None,
        test_images: int | None = None,
        workers: int = 0,
    ) -> EvaluationRecord:
        """Measure the newest parameters on held-out images, or those after so many iterations.

        `best` chooses those with the best held-out "loss" or "accuracy". Needs the data set on this
        machine, and writes nothing into the history. Raises model's `DatasetError`, storage's
        `CheckpointNotFound`, and `UsageError` for a run that holds no images out.
        """
        images = given.read_optional(given.read_count, "test_images", test_images)
        count = given.read_whole("workers", workers)
        return self._trained(after, best).evaluate(images, count)

    @in_python_words
    def predict(
        self,
        images: Images,
        *,
        after: int | None = None,
        best: str | None = None,
        invert: bool = False,
    ) -> DataFrame:
        """Tell what images show: a row for each, with a column of probabilities for every label.

        `images` is an array (images, rows, columns), or the path of a picture or an .npz file, or a
        list of paths, fitted and refused as `tapeworks predict` does; what looks inverted is a
        warning. Parameters are chosen as by `evaluate`. Raises model's `DatasetError`, and
        `UsageError` for other files.
        """
        return make_prediction_frame(
            self._trained(after, best).predict(images, invert=given.read_truth("invert", invert))
        )

    @in_python_words
    def export(
        self,
        output: str | os.PathLike[str],
        *,
        to: str | None = None,
        after: int | None = None,
        best: str | None = None,
    ) -> Path:
        """Write history, parameters or network to a file, by its ending, as `tapeworks export`.

        Raises `UsageError` for an unknown or contradicting ending, and `OutputFailed`.
        """
        given.read_path("output", output)  # whose slash at the end, if it has one, tells a form
        place = os.path.expanduser(os.fsdecode(output))  # noqa: PTH111 - Path has no such slash
        return self._trained(after, best).export(place, to)

    def _trained(self, after: int | None, best: str | None) -> Trained:
        chosen = given.read_optional(given.read_whole, "after", after)
        choice = read_choice(chosen, best)
        return Trained(history=self._history, run=self.refresh().record, choice=choice)

    # What may be wished of it

    def pause(self, reason: str | None = None) -> Run:
        """Have it stop when it next commits. Raises storage's `StateConflict`.

        That is after the iteration in progress; of short ones, after half a second of them.
        """
        return self._became(self._history.queue.pause(self.id, given.read_words("reason", reason)))

    def resume(self) -> Run:
        """Queue it again. Raises storage's `StateConflict` unless it is, or is to be, paused."""
        return self._became(self._history.queue.resume(self.id))

    def cancel(self, reason: str | None = None) -> Run:
        """End it for good when it next commits. Raises storage's `StateConflict`."""
        return self._became(self._history.queue.cancel(self.id, given.read_words("reason", reason)))

    def set_priority(self, priority: int) -> Run:
        """Have it taken before all runs of a lower priority."""
        wanted = given.read_priority("priority", priority)
        return self._became(self._history.queue.set_priority(self.id, wanted))

    def describe(self, **noted: Unpack[Noted]) -> Run:
        """Give it a `name`, a `note`, or `tags` in place of its own. Raises `StorageError`."""
        return self._became(self._history.queue.describe(self.id, **given.read_noted(**noted)))

    @in_python_words
    def retry(
        self,
        *,
        after: int | None = None,
        changes: Mapping[str, Any] | None = None,
        **described: Unpack[Described],
    ) -> Run:
        """A new run of its configuration with changes, from its beginning or a checkpoint.

        `described` are `name`, `tags`, `note` and `priority`, where they are not to be its own.
        """
        record = retry(
            self._history,
            self.record,
            after=given.read_optional(given.read_whole, "after", after),
            changes=given.read_optional(given.read_mapping, "changes", changes),
            tell=logger.warning,
            **given.read_described(**described),
        )
        return Run(self._history, record)

    def delete(self) -> None:
        """Remove it with all its history."""
        self._history.queue.delete(self.id)

    def _became(self, record: RunRecord) -> Run:
        self.record = record
        return self
