"""A run's history, proved: its iterations computed again, and compared bit by bit."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, restore_config
from tapeworks.model.datasets.source import ImageData
from tapeworks.model.errors import ParametersError
from tapeworks.model.parameters import from_bytes, validate_parameters
from tapeworks.model.update import read_state
from tapeworks.scheduler.cadence import is_kept, is_recorded
from tapeworks.scheduler.dispatch.contract import Dispatcher, Watcher, Work
from tapeworks.scheduler.driving.driver import check_images, images_digest
from tapeworks.scheduler.errors import CannotReplay, Diverged
from tapeworks.scheduler.outcomes import Computed
from tapeworks.scheduler.replay.differences import (
    Difference,
    Stored,
    checkpoint_difference,
    compare_stored_state,
    divergence,
    iteration_difference,
    state_difference,
    unusable_state,
)
from tapeworks.scheduler.submission import check_order
from tapeworks.scheduler.training import compute_iteration
from tapeworks.storage.errors import CheckpointNotFound, IterationNotFound
from tapeworks.storage.history import History
from tapeworks.storage.records import CheckpointRecord, IterationRecord, RunRecord


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Committed iterations of a run, to be computed again. Reads the history, never writes.

    Its dispatcher must not share a Redis with the run's scheduler: the run's id stands for both.
    """

    history: History
    run: RunRecord  #: as it stood when this was prepared; what is committed later is left alone
    config: RunConfig
    data: ImageData
    records: dict[int, IterationRecord]  #: by iteration
    spans: list[range]  #: of iterations; each span begins at stored parameters

    @property
    def iterations(self) -> list[int]:
        """All that are computed: the wanted ones, and those on the way to them."""
        return [iteration for span in self.spans for iteration in span]

    def compare(
        self, dispatcher: Dispatcher, watcher: Watcher
    ) -> Iterator[IterationRecord | Difference]:
        """Every iteration once it is found to be the same; at the first difference, that alone.

        The records tell this computation's workers and seconds.
        """
        run, network = self.run, self.config.spec
        dispatcher.begin(run.id, network, run.fingerprint, allow_mixed=False)
        try:
            for span in self.spans:
                difference = yield from self._span(span, dispatcher, watcher)
                if difference:
                    yield difference
                    return
        finally:
            dispatcher.end(run.id, run.term)

    def _span(
        self, span: range, dispatcher: Dispatcher, watcher: Watcher
    ) -> Generator[IterationRecord, None, Difference | None]:
        run, config = self.run, self.config
        checkpoint = self.history.read_unverified_checkpoint(run.id, span.start)
        if found := self._unfit(checkpoint):
            return found
        parameters, state = checkpoint.parameters, checkpoint.optimizer_state
        for iteration in span:
            began = time.perf_counter()
            work = Work.training(config, run.id, run.term, self.data, iteration, parameters)
            try:
                computed = compute_iteration(config, work, state, dispatcher, watcher)
            except Diverged:
                return divergence(run.id, iteration)
            found = iteration_difference(self._read_stored(iteration), computed)
            if found := found or self._checkpoint_difference(iteration + 1, computed):
                return found
            parameters, state = computed.parameters, computed.optimizer_state
            seconds = time.perf_counter() - began
            yield replace(self.records[iteration], workers=computed.workers, seconds=seconds)
        return None

    def _unfit(self, checkpoint: CheckpointRecord) -> Difference | None:
        """Return the difference for which a span cannot begin at this checkpoint, or None."""
        run, network, completed = self.run, self.config.spec, checkpoint.completed_iterations
        claimed = self._digest_after(completed) or checkpoint.digest
        if found := checkpoint_difference(run, completed, checkpoint, claimed):
            return found
        if found := compare_stored_state(run, checkpoint):
            return found
        validate_parameters(
            from_bytes(checkpoint.parameters), network, f"Run {run.id}, after {completed}"
        )
        try:
            read_state(self.config, checkpoint.optimizer_state)
        except ParametersError as error:
            return unusable_state(run, checkpoint, str(error))
        return None

    def _read_stored(self, iteration: int) -> Stored:
        values = self.history.image_values_of(self.run.id, [iteration])
        is_first = iteration == self.run.first_iteration
        return Stored(
            run=self.run,
            record=self.records[iteration],
            ledger=self.history.ledger(self.run.id, iteration),
            image_values=values.get(iteration),
            is_recorded=is_first or is_recorded(self.config, iteration),
        )

    def _checkpoint_difference(
        self, completed_iterations: int, computed: Computed
    ) -> Difference | None:
        claimed = self._digest_after(completed_iterations)
        checkpoint = None
        try:
            checkpoint = self.history.read_unverified_checkpoint(self.run.id, completed_iterations)
        except CheckpointNotFound:
            if not self._must_be_kept(completed_iterations):
                return None
        found = checkpoint_difference(self.run, completed_iterations, checkpoint, claimed)
        if found or checkpoint is None:
            return found
        return state_difference(self.run, checkpoint, computed.optimizer_state)

    def _digest_after(self, completed_iterations: int) -> str:
        """The digest of the parameters after so many iterations; empty of the initial ones."""
        if completed_iterations == self.run.first_iteration:
            return ""
        return self.records[completed_iterations - 1].parameters_digest

    def _must_be_kept(self, completed_iterations: int) -> bool:
        run = self.history.find_run(self.run.id)
        if is_kept(self.config, completed_iterations) and not run.pruned_at:
            return True
        return completed_iterations == run.completed_iterations


def prepare(history: History, run: RunRecord, wanted: Sequence[range]) -> Replay:
    """A replay of these iterations, or of all that are committed if none is named.

    Raises `IterationNotFound` for what is not committed, `CannotReplay` for a run that has no
    single fingerprint, and `CannotContinueHere` if this machine's images are not the run's.
    """
    check_order(run)
    config = restore_config(run.configuration)
    iterations = _choose_iterations(run, wanted)
    if config.allow_mixed_workers:
        raise CannotReplay(
            f"Run {run.id} allowed workers of different fingerprints (allow_mixed_workers); "
            "the same bits cannot be promised for it."
        )
    spans = _spans(history, run, iterations, config.checkpoint_every)
    records = {record.iteration: record for record in history.iterations(run.id)}
    for span in spans:
        for iteration in range(max(span.start - 1, run.first_iteration), span.stop):
            if iteration not in records:
                raise IterationNotFound(run, iteration)
    data = datasets.load(config)
    check_images(run, images_digest(data))
    return Replay(
        history=history,
        run=run,
        config=config,
        data=data.training,
        records=records,
        spans=spans,
    )


def _choose_iterations(run: RunRecord, wanted: Sequence[range]) -> list[int]:
    """The wanted iterations in order, each once."""
    first = run.first_iteration
    parts = wanted or [range(first, max(run.completed_iterations, first + 1))]
    for part in parts:
        if part.start < first:
            raise IterationNotFound(run, part.start)
        if part.stop > run.completed_iterations:
            raise IterationNotFound(run, max(part.start, run.completed_iterations))
    return sorted({iteration for part in parts for iteration in part})


def _spans(
    history: History, run: RunRecord, iterations: Sequence[int], checkpoint_every: int
) -> list[range]:
    """Return the spans to compute for these iterations: none twice, and as few as possible."""
    spans: list[range] = []
    for iteration in iterations:
        last = spans[-1].stop if spans else 0
        if spans and iteration == last:
            start = last  # goes on with the parameters just computed
        else:
            start = _find_checkpoint_before(history, run, iteration, checkpoint_every)
        if spans and start <= last:
            spans[-1] = range(spans[-1].start, iteration + 1)
        else:
            spans.append(range(start, iteration + 1))
    return spans


def _find_checkpoint_before(
    history: History, run: RunRecord, iteration: int, checkpoint_every: int
) -> int:
    """After how many iterations the nearest parameters were kept; the initial ones always are."""
    for completed in range(
        iteration - iteration % checkpoint_every, run.first_iteration, -checkpoint_every
    ):
        try:
            return history.read_unverified_checkpoint(run.id, completed).completed_iterations
        except CheckpointNotFound:
            continue
    return run.first_iteration
