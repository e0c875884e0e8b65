"""The times in which each worker computed, and the sending of a shard that it answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from tapeworks.comparison.texts import picture_labels
from tapeworks.storage.errors import IterationNotRecorded
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord, LedgerRecord, RunRecord

#: A pause between two iterations is cut if it is longer than so many seconds and than this share of
#: all iterations' seconds: a run that rested for a night is still worth a look.
LONGEST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SHARE = 0.1

#: Share of all iterations' seconds that is left of it.
CUT_PAUSE_SHARE = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One counted answer: a worker computed a shard."""

    worker: int  #: its row
    begin: float  #: seconds on the picture's axis
    seconds: float
    iteration: int
    shard: int
    attempt: int  #: 1: the shard's first sending


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A pause that is shorter in the picture than it was."""

    at: float  #: where it ends, seconds on the picture's axis
    seconds: float  #: how long it was


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """The workers of a run, and what each computed when."""

    run_id: str
    label: str
    workers: tuple[str, ...]  #: from above to below
    bars: tuple[Bar, ...]
    iterations: tuple[int, ...]
    begins: tuple[float, ...]  #: of the iterations, seconds on the picture's axis
    cuts: tuple[Cut, ...]
    left_out: int  #: iterations whose answers' times were not stored

    def values(self) -> dict[str, Any]:
        """Everything that is drawn, as JSON values."""
        return asdict(self)


def timeline(history: History, run: RunRecord, iteration: int | None = None) -> Timeline:
    """The timeline of one iteration, or of all that were recorded in full.

    An answer that was not counted is in no ledger, nor here. Raises `IterationNotRecorded`.
    """
    lines = history.ledger(run.id, iteration)  # first: a run may be in progress
    answers = distinct(line for line in lines if line.received_at)
    recorded = {answer.iteration for answer in answers}
    if not recorded:
        place = run.first_iteration if iteration is None else iteration
        raise IterationNotRecorded(run.id, place, history.list_recorded_iterations(run.id))
    records = [record for record in history.iterations(run.id) if record.iteration in recorded]
    workers = sorted({answer.worker for answer in answers}, key=_natural)
    begins, cuts = axis(records)
    starts = {
        record.iteration: (record.started_at, begin)
        for record, begin in zip(records, begins, strict=True)
    }
    return Timeline(
        run_id=run.id,
        label=picture_labels([run])[0],
        workers=tuple(workers),
        bars=tuple(_bars(answers, workers, starts)),
        iterations=tuple(starts),
        begins=begins,
        cuts=cuts,
        left_out=len({line.iteration for line in lines} - recorded),
    )


def distinct(ledger: Iterable[LedgerRecord]) -> list[LedgerRecord]:
    """One line of each answer, which has several where its microbatches are no neighbours."""
    answers = {
        (line.iteration, line.term, line.shard, line.attempt, line.worker): line for line in ledger
    }
    return list(answers.values())


def axis(records: Sequence[IterationRecord]) -> tuple[tuple[float, ...], tuple[Cut, ...]]:
    """The beginnings of iterations on the picture's axis, from 0, and the pauses that are cut."""
    total = sum(record.seconds for record in records)
    longest = max(LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SHARE * total)
    begins, cuts = [0.0], []
    for before, after in pairwise(records):
        distance = (after.started_at - before.started_at).total_seconds()
        pause = distance - before.seconds
        if pause > longest:
            distance = before.seconds + CUT_PAUSE_SHARE * total
            cuts.append(Cut(at=begins[-1] + distance, seconds=pause))
        begins.append(begins[-1] + distance)
    return tuple(begins), tuple(cuts)


def _bars(
    answers: Iterable[LedgerRecord],
    workers: Sequence[str],
    starts: Mapping[int, tuple[datetime, float]],
) -> Iterator[Bar]:
    """The bars of these answers; `starts` tells when each iteration began, and at which second."""
    rows = {worker: row for row, worker in enumerate(workers)}
    for answer in answers:
        if answer.received_at is None or answer.seconds is None:
            continue
        started_at, begin = starts[answer.iteration]
        ended = begin + (answer.received_at - started_at).total_seconds()
        yield Bar(
            worker=rows[answer.worker],
            begin=ended - answer.seconds,
            seconds=answer.seconds,
            iteration=answer.iteration,
            shard=answer.shard,
            attempt=answer.attempt,
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """To sort by: desk9 before desk10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
