"""A run of a client: its history, and what may be wished of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Never, Unpack

from tapeworks.cli import given
from tapeworks.cli.given import Described, Noted
from tapeworks.client.frames import make_frame, make_image_frame
from tapeworks.client.notebooks import run_html
from tapeworks.client.waiting import LOOK_SECONDS, follow, is_over
from tapeworks.cluster.program_progress import choose_display
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.parameters import Arrays, from_bytes
from tapeworks.scheduler.submission import retry
from tapeworks.storage.errors import NotCopied
from tapeworks.storage.history import History
from tapeworks.storage.records import (
    EvaluationRecord,
    EventRecord,
    IterationRecord,
    LedgerRecord,
    RunRecord,
    RunStatus,
    WorkerSummary,
    loss_text,
)

if TYPE_CHECKING:
    from pandas import DataFrame


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
        loss = "" if run.final_loss is None else f" loss={loss_text(run.final_loss)}"
        accuracy = "" if run.test_accuracy is None else f" accuracy={run.test_accuracy:.1%}"
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

    # Its history

    def history(self) -> DataFrame:
        """A row per committed iteration: loss, accuracy, gradient norm, seconds, digests."""
        return make_frame(IterationRecord, self._history.iterations(self.id))

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

    def images(self, iteration: int) -> DataFrame:
        """A row per image of an iteration: its number in the data, loss, gradient norm, prediction.

        The prediction is an index into the run's classes. What the network or its gradients do not
        give is missing in every row: NaN, or pandas.NA. Raises storage's `IterationNotFound`, or
        `IterationNotRecorded` for one of which these were not stored (`record_images_every`).
        """
        values = self._history.image_values(self.id, given.read_whole("iteration", iteration))
        return make_image_frame(values)

    def parameters(self, completed_iterations: int | None = None) -> Arrays:
        """The arrays after so many iterations, or the newest, by name.

        Raises storage's `CheckpointNotFound` for what was not kept.
        """
        after = given.read_optional(given.read_whole, "completed_iterations", completed_iterations)
        return from_bytes(self._history.checkpoint(self.id, after).parameters)

    # What may be wished of it

    def pause(self, reason: str | None = None) -> Run:
        """Have it stop after the iteration in progress. Raises storage's `StateConflict`."""
        return self._became(self._history.queue.pause(self.id, given.read_words("reason", reason)))

    def resume(self) -> Run:
        """Queue it again. Raises storage's `StateConflict` unless it is, or is to be, paused."""
        return self._became(self._history.queue.resume(self.id))

    def cancel(self, reason: str | None = None) -> Run:
        """End it for good, within one iteration. Raises storage's `StateConflict`."""
        return self._became(self._history.queue.cancel(self.id, given.read_words("reason", reason)))

    def set_priority(self, priority: int) -> Run:
        """Have it taken before all runs of a lower priority."""
        wanted = given.read_priority("priority", priority)
        return self._became(self._history.queue.set_priority(self.id, wanted))

    def describe(self, **noted: Unpack[Noted]) -> Run:
        """Give it a `note`, or `tags` in place of all its own. Raises storage's `StorageError`."""
        return self._became(self._history.queue.describe(self.id, **given.read_noted(**noted)))

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
            **given.read_described(**described),
        )
        return Run(self._history, record)

    def delete(self) -> None:
        """Remove it with all its history."""
        self._history.queue.delete(self.id)

    def _became(self, record: RunRecord) -> Run:
        self.record = record
        return self
