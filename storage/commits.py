"""One iteration into the history: everything of it or nothing, and never twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from storage.checkpoints import digest_of
from storage.claims import hold
from storage.errors import LedgerMismatch, StateConflict
from storage.iterations import number_of, store_iteration
from storage.records import (
    CheckpointRecord,
    Claim,
    ImageValues,
    IterationRecord,
    LedgerRecord,
    RunRecord,
)
from storage.rows import store
from storage.tables import checkpoints, iterations, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """All that one iteration leaves behind."""

    iteration: IterationRecord
    ledger: Sequence[LedgerRecord]
    image_values: ImageValues
    parameters: bytes
    #: What the optimizer carries on; None if nothing.
    optimizer_state: bytes | None
    #: Of the workers that computed it; None leaves the run's as it is.
    fingerprint: str | None
    #: Whether the parameters before this iteration stay.
    keep_previous_checkpoint: bool

    def check(self, claim: Claim) -> None:
        """Refuse another run's records, and a ledger that does not count every image once."""
        wanted = (claim.run_id, self.iteration.iteration, claim.epoch)
        if (self.iteration.run_id, self.iteration.iteration, self.iteration.epoch) != wanted:
            raise StateConflict(f"Expected an iteration of {claim}. Received: {self.iteration}")
        counted = 0
        for entry in sorted(self.ledger, key=lambda entry: entry.first_image):
            if (entry.run_id, entry.iteration) != wanted[:2] or entry.first_image != counted:
                raise LedgerMismatch(
                    f"Expected the microbatch at image {counted}. Received: {entry}"
                )
            counted += entry.image_count
        if counted != self.iteration.images:
            raise LedgerMismatch(
                f"Expected a ledger of {self.iteration.images} images. Received: {counted} images"
            )


def is_committed(connection: Connection, iteration: IterationRecord) -> bool:
    """Check that this very iteration is stored: its sender did not get the commit's answer."""
    same = select(iterations.c.iteration).where(
        iterations.c.run == number_of(iteration.run_id),
        iterations.c.iteration == iteration.iteration,
        iterations.c.epoch == iteration.epoch,
        iterations.c.parameters_digest == iteration.parameters_digest,
    )
    return connection.scalar(same) is not None


def store_commit(connection: Connection, claim: Claim, commit: Commit) -> RunRecord:
    """Advance the run by one iteration and store what the iteration left behind."""
    run = _advance(connection, claim, commit)
    run_id, number = claim.run_id, commit.iteration.iteration
    store_iteration(connection, commit.iteration, commit.ledger, commit.image_values)
    checkpoint = CheckpointRecord(
        run_id=run_id,
        completed_iterations=number + 1,
        digest=commit.iteration.parameters_digest,
        parameters=commit.parameters,
        optimizer_state=commit.optimizer_state,
        state_digest=digest_of(commit.optimizer_state),
    )
    store(connection, [checkpoint])
    if number > run.first_iteration and not commit.keep_previous_checkpoint:
        _drop_checkpoint(connection, run_id, number)
    return run


def _advance(connection: Connection, claim: Claim, commit: Commit) -> RunRecord:
    iteration = commit.iteration
    return hold(
        connection,
        claim,
        runs.c.completed_iterations == iteration.iteration,
        runs.c.completed_iterations < runs.c.iterations,
        completed_iterations=iteration.iteration + 1,
        parameters_digest=iteration.parameters_digest,
        fingerprint=func.coalesce(runs.c.fingerprint, commit.fingerprint),
        first_loss=func.coalesce(runs.c.first_loss, iteration.loss),
        final_loss=iteration.loss,
    )


def _drop_checkpoint(connection: Connection, run_id: str, completed_iterations: int) -> None:
    connection.execute(
        delete(checkpoints).where(
            checkpoints.c.run_id == run_id,
            checkpoints.c.completed_iterations == completed_iterations,
        )
    )
