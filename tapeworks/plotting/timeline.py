"""Which worker computed when, and for which sending of a shard."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from storage.history import History
from storage.records import IterationRecord, LedgerRecord, RunRecord
from tapeworks.comparison.labels import picture_labels

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

    def values(self) -> dict[str, Any]:
        """What is drawn, as JSON values."""
        return asdict(self)


def timeline(history: History, run: RunRecord, iteration: int | None = None) -> Timeline:
    """Of one iteration or of all. An answer that was not counted is in no ledger, nor here."""
    answers = distinct(history.ledger(run.id, iteration))  # first: a run may be in progress
    records = [
        record for record in history.iterations(run.id) if iteration in (None, record.iteration)
    ]
    workers = sorted({answer.worker for answer in answers}, key=_natural)
    rows = {worker: row for row, worker in enumerate(workers)}
    begins, cuts = axis(records)
    starts = {
        record.iteration: (record.started_at, begin)
        for record, begin in zip(records, begins, strict=True)
    }
    return Timeline(
        run_id=run.id,
        label=picture_labels([run])[0],
        workers=tuple(workers),
        bars=tuple(
            _bar(answer, rows[answer.worker], *starts[answer.iteration]) for answer in answers
        ),
        iterations=tuple(starts),
        begins=begins,
        cuts=cuts,
    )


def distinct(ledger: Iterable[LedgerRecord]) -> list[LedgerRecord]:
    """One line of each answer, which has several where its microbatches are no neighbours."""
    answers = {
        (line.iteration, line.epoch, line.shard, line.attempt, line.worker): line for line in ledger
    }
    return list(answers.values())


def axis(records: Sequence[IterationRecord]) -> tuple[tuple[float, ...], tuple[Cut, ...]]:
    """Where each iteration begins on the picture's axis, from 0, and which pauses are cut."""
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


def _bar(answer: LedgerRecord, row: int, started_at: datetime, begin: float) -> Bar:
    ended = begin + (answer.received_at - started_at).total_seconds()
    return Bar(
        worker=row,
        begin=ended - answer.seconds,
        seconds=answer.seconds,
        iteration=answer.iteration,
        shard=answer.shard,
        attempt=answer.attempt,
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """To sort by: desk9 before desk10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
