"""Iterations into the history: everything of each or nothing, and never twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Double, Text, bindparam, func, insert, select, update

from tapeworks.storage import claims
from tapeworks.storage.checkpoints import digest_of
from tapeworks.storage.errors import LedgerMismatch, StateConflict
from tapeworks.storage.iterations import (
    BYTES_OF_A_VALUE,
    iteration_row,
    number_of,
    store_iterations,
)
from tapeworks.storage.records import (
    CheckpointRecord,
    Claim,
    ImageValues,
    IterationRecord,
    LedgerRecord,
    RunRecord,
    RunStatus,
)
from tapeworks.storage.references import run_by_id
from tapeworks.storage.rows import columns_of, store
from tapeworks.storage.tables import checkpoints, iterations, runs, workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """All that one iteration leaves behind."""

    iteration: IterationRecord
    ledger: Sequence[LedgerRecord]
    image_values: ImageValues
    parameters: bytes
    #: Of the workers that computed it; None leaves the run's as it is.
    fingerprint: str | None
    #: Whether the parameters before this iteration stay. The initial ones always do.
    keep_previous_checkpoint: bool
    #: What the optimizer carries on; None if nothing.
    optimizer_state: bytes | None = None
    #: Whether the images' values and the answers' times are stored. Those of a run's first
    #: iteration always are.
    record_images: bool = True

    def check(self, claim: Claim) -> None:
        """Refuse another run's records, and what does not count or describe every image once."""
        wanted = (claim.run_id, self.iteration.iteration, claim.term)
        if (self.iteration.run_id, self.iteration.iteration, self.iteration.term) != wanted:
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
        self._check_values()

    def _check_values(self) -> None:
        """Refuse arrays that are not of as many images as the iteration has."""
        images = self.iteration.images
        for name, width in BYTES_OF_A_VALUE.items():
            content = getattr(self.image_values, name)
            if content is not None and len(content) != width * images:
                raise StateConflict(
                    f"Expected {name} of {images} images, {width * images} bytes. "
                    f"Received: {len(content)} bytes"
                )


def check_commits(claim: Claim, commits: Sequence[Commit]) -> None:
    """Refuse iterations that are not one claim's, one behind the other."""
    first = commits[0].iteration.iteration
    for number, commit in enumerate(commits, first):
        commit.check(claim)
        if commit.iteration.iteration != number:
            raise StateConflict(f"Expected iteration {number}. Received: {commit.iteration}")


def store_commits(connection: Connection, claim: Claim, commits: Sequence[Commit]) -> RunRecord:
    """Advance the run by these iterations and store what they left behind.

    If the last one is stored already, all are: their sender did not get the commit's answer.
    """
    advanced = _advance(connection, claim, commits)
    if advanced is None:
        return _find_committed(connection, claim, commits)
    number, run = advanced
    numbers = _credit(connection, number, [entry for one in commits for entry in one.ledger])
    rows = []
    for commit in commits:
        is_recorded = commit.record_images or commit.iteration.iteration == run.first_iteration
        values = commit.image_values if is_recorded else None
        rows.append(iteration_row(number, numbers, commit.iteration, commit.ledger, values))
    store_iterations(connection, rows)
    _store_checkpoints(connection, run, commits)
    return run


def _advance(
    connection: Connection, claim: Claim, commits: Sequence[Commit]
) -> tuple[int, RunRecord] | None:
    """Return the run and its number; None if it does not stand there in our hands.

    The row is locked from here on, as `claims.wait_for_writers` would lock it.
    """
    first, last = commits[0].iteration, commits[-1].iteration
    fingerprints = (commit.fingerprint for commit in commits if commit.fingerprint)
    given = {
        "of_run": claim.run_id,
        "of_owner": claim.owner,
        "of_term": claim.term,
        "of_iteration": first.iteration,
        "more_iterations": len(commits),
        "new_digest": last.parameters_digest,
        "new_fingerprint": next(fingerprints, None),
        "new_first_loss": first.loss,
        "new_loss": last.loss,
    }
    row = connection.execute(_ADVANCE, given).one_or_none()
    if row is None:
        return None
    values = row._asdict()
    return values.pop("number"), RunRecord(**values)


def _find_committed(connection: Connection, claim: Claim, commits: Sequence[Commit]) -> RunRecord:
    """The run, if these very iterations are stored; else raise what stands in their way."""
    claims.wait_for_writers(connection, claim.run_id)
    if _is_committed(connection, commits[-1].iteration):
        return run_by_id(connection, claim.run_id)
    claims.expect_remembered(connection, claim, commits[0].iteration.iteration)
    raise claims.refusal(connection, claim)


def _is_committed(connection: Connection, iteration: IterationRecord) -> bool:
    same = select(iterations.c.iteration).where(
        iterations.c.run == number_of(iteration.run_id),
        iterations.c.iteration == iteration.iteration,
        iterations.c.term == iteration.term,
        iterations.c.parameters_digest == iteration.parameters_digest,
    )
    return connection.scalar(same) is not None


def _credit(connection: Connection, run: int, ledger: Sequence[LedgerRecord]) -> dict[str, int]:
    """Add the ledger to its workers' sums; return the number of each, by name."""
    entries = defaultdict[str, list[LedgerRecord]](list)
    for entry in ledger:
        entries[entry.worker].append(entry)
    known = connection.execute(_NUMBERS, {"of_run": run, "names": list(entries)})
    numbers = {row.name: row.number for row in known}
    if numbers:
        more = [
            {"of_run": run, "of_number": number} | _share(entries[name])
            for name, number in numbers.items()
        ]
        connection.execute(_ADD, more)
    new = [name for name in entries if name not in numbers]
    if new:
        numbers |= _register(connection, run, {name: entries[name] for name in new})
    return numbers


def _register(
    connection: Connection, run: int, entries: Mapping[str, list[LedgerRecord]]
) -> dict[str, int]:
    """Add workers that have not computed for the run before."""
    taken = select(func.coalesce(func.max(workers.c.number), 0)).where(workers.c.run == run)
    first = (connection.scalar(taken) or 0) + 1
    numbers = {name: first + place for place, name in enumerate(entries)}
    rows = [
        {
            "run": run,
            "number": numbers[name],
            "name": name,
            "images": share["more_images"],
            "answers": share["more_answers"],
            "seconds": share["more_seconds"],
            "first_at": min(entry.received_at for entry in lines if entry.received_at),
            "last_at": share["new_last_at"],
        }
        for name, lines in entries.items()
        if (share := _share(lines))
    ]
    connection.execute(insert(workers), rows)
    return numbers


def _share(entries: Sequence[LedgerRecord]) -> dict[str, Any]:
    """Add up one worker's part of these iterations."""
    answers = {
        (entry.iteration, entry.term, entry.shard, entry.attempt): entry.seconds or 0
        for entry in entries
    }
    return {
        "more_images": sum(entry.image_count for entry in entries),
        "more_answers": len(answers),
        "more_seconds": sum(answers.values()),
        "new_last_at": max(entry.received_at for entry in entries if entry.received_at),
    }


def _store_checkpoints(connection: Connection, run: RunRecord, commits: Sequence[Commit]) -> None:
    """Store the newest parameters in place of those before, and those between that are kept."""
    pairs = pairwise(commits)
    kept = [_checkpoint(one) for one, following in pairs if following.keep_previous_checkpoint]
    new = [*kept, _checkpoint(commits[-1])]
    before = commits[0].iteration.iteration
    if before > run.first_iteration and not commits[0].keep_previous_checkpoint:
        values = {f"new_{name}": getattr(new[0], name) for name in _OF_CHECKPOINT}
        given = values | {"of_run": run.id, "of_iteration": before}
        if connection.execute(_REPLACE_CHECKPOINT, given).rowcount:
            new = new[1:]
    if new:
        store(connection, new)


def _checkpoint(commit: Commit) -> CheckpointRecord:
    return CheckpointRecord(
        run_id=commit.iteration.run_id,
        completed_iterations=commit.iteration.iteration + 1,
        digest=commit.iteration.parameters_digest,
        parameters=commit.parameters,
        optimizer_state=commit.optimizer_state,
        state_digest=digest_of(commit.optimizer_state),
    )


# Statements are made once: making and hashing them for each commit costs more than the database.

_ADVANCE = (
    update(runs)
    .where(
        runs.c.id == bindparam("of_run"),
        runs.c.status == RunStatus.RUNNING,
        runs.c.owner == bindparam("of_owner"),
        runs.c.term == bindparam("of_term"),
        runs.c.completed_iterations == bindparam("of_iteration"),
        runs.c.completed_iterations + bindparam("more_iterations") <= runs.c.iterations,
    )
    .values(
        completed_iterations=runs.c.completed_iterations + bindparam("more_iterations"),
        parameters_digest=bindparam("new_digest"),
        fingerprint=func.coalesce(runs.c.fingerprint, bindparam("new_fingerprint", type_=Text)),
        first_loss=func.coalesce(runs.c.first_loss, bindparam("new_first_loss", type_=Double)),
        final_loss=bindparam("new_loss", type_=Double),
    )
    .returning(runs.c.number, *columns_of(RunRecord))
)

_NUMBERS = select(workers.c.name, workers.c.number).where(
    workers.c.run == bindparam("of_run"),
    workers.c.name.in_(bindparam("names", expanding=True)),
)

_ADD = (
    update(workers)
    .where(workers.c.run == bindparam("of_run"), workers.c.number == bindparam("of_number"))
    .values(
        images=workers.c.images + bindparam("more_images"),
        answers=workers.c.answers + bindparam("more_answers"),
        seconds=workers.c.seconds + bindparam("more_seconds"),
        last_at=bindparam("new_last_at"),
    )
)

#: What tells a checkpoint from the one before of the same run.
_OF_CHECKPOINT = ("completed_iterations", "digest", "parameters", "optimizer_state", "state_digest")

_REPLACE_CHECKPOINT = (
    update(checkpoints)
    .where(
        checkpoints.c.run_id == bindparam("of_run"),
        checkpoints.c.completed_iterations == bindparam("of_iteration"),
    )
    .values({name: bindparam(f"new_{name}") for name in _OF_CHECKPOINT})
)
