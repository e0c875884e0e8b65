"""Several iterations in one transaction: the rows that they have one by one, or none at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from typing import Any

import pytest
from sqlalchemy import Table, select

from tapeworks.storage.commits import Commit
from tapeworks.storage.errors import LeaseLost, LedgerMismatch, StateConflict, StorageError
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, IterationRecord, LedgerRecord
from tapeworks.storage.tables import metadata
from tests.support.made_up import LEASE, commit_of, iteration_of, values_of

#: Of a run: the workers of each of its iterations, eight images each.
WORKERS = [["a"], ["a", "b"], ["b"], ["c", "a"], ["b", "c", "d"], ["d"], ["a"]]

#: Iterations before which the parameters stay, and those that are recorded in full.
KEEPING, RECORDED = {2, 3, 6}, {1, 4, 6}

#: What tells one run from another, and when somebody took it.
OF_ONE_RUN = {"id", "run_id", "run", "created_at", "started_at", "lease_until", "at"}

#: What an optimizer carries on, in some of the iterations.
STATES = [None, b"one", b"two", None, b"four", b"five", b"six"]

EACH = 8


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def claimed(history: History, iterations: int = len(WORKERS)) -> Claim:
    run = history.create_run(
        name=None,
        configuration={},
        iterations=iterations,
        parameters=b"initial",
        parameters_digest=hashlib.sha256(b"initial").hexdigest(),
    )
    return history.claim(run.id, "alice", LEASE)


def ledger(record: IterationRecord, workers: Sequence[str]) -> list[LedgerRecord]:
    """A shard of each worker; their seconds are exact in binary, so that any sum of them is."""
    return [
        LedgerRecord(
            run_id=record.run_id,
            iteration=record.iteration,
            first_image=EACH * shard,
            image_count=EACH,
            shard=shard,
            attempt=1 + record.iteration % 2,
            term=record.term,
            worker=worker,
            seconds=0.25 + shard,
            received_at=record.started_at + timedelta(seconds=shard),
        )
        for shard, worker in enumerate(workers)
    ]


def made(claim: Claim) -> list[Commit]:
    """A whole run, no iteration like the other."""
    return [_made(claim, number, workers) for number, workers in enumerate(WORKERS)]


def _made(claim: Claim, number: int, workers: Sequence[str]) -> Commit:
    usual = iteration_of(claim, number)
    record = replace(
        usual,
        images=EACH * len(workers),
        started_at=usual.started_at + timedelta(minutes=number),
        workers=len(workers),
    )
    return replace(
        commit_of(record),
        ledger=ledger(record, workers),
        image_values=values_of(number, record.images),
        fingerprint=None if number == 0 else f"kind {number}",
        keep_previous_checkpoint=number in KEEPING,
        optimizer_state=STATES[number],
        record_images=number in RECORDED,
    )


def rows(history: History, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of a run, in all tables, but for what tells it from another one."""
    number = _read(history, metadata.tables["stored_runs"], "id", run_id)[0]["number"]
    found = dict[str, list[dict[str, Any]]]()
    for table in metadata.sorted_tables:
        if table.name == "stored_networks":  # no run's own
            continue
        key = next(name for name in ("run_id", "run", "id") if name in table.c)
        of_run = _read(history, table, key, number if key == "run" else run_id)
        gone = OF_ONE_RUN | ({"number"} if key == "id" else set())
        kept = [{name: row[name] for name in row.keys() - gone} for row in of_run]
        found[table.name] = sorted(kept, key=lambda row: repr(sorted(row.items())))
    return found


def _read(history: History, table: Table, key: str, value: object) -> list[dict[str, Any]]:
    with history.database.read() as connection:
        found = connection.execute(select(table).where(table.c[key] == value))
        return [dict(row) for row in found.mappings()]


def groupings(count: int) -> Iterator[list[slice]]:
    """Every way to cut so many iterations into groups of neighbours."""
    for cuts in range(count):
        for inner in combinations(range(1, count), cuts):
            yield [slice(*pair) for pair in pairwise([0, *inner, count])]


def test_however_iterations_are_grouped_the_rows_are_those_of_one_by_one(
    history: History,
) -> None:
    alone = claimed(history)
    for one in made(alone):
        history.commit(alone, [one])
    expected = rows(history, alone.run_id)
    assert [len(expected[f"stored_{name}"]) for name in ("iterations", "workers")] == [7, 4]
    kept = [row["completed_iterations"] for row in expected["stored_checkpoints"]]
    assert sorted(kept) == [0, *sorted(KEEPING), len(WORKERS)]

    for grouping in groupings(len(WORKERS)):
        claim = claimed(history)
        commits = made(claim)
        for group in grouping:
            run = history.commit(claim, commits[group])
            assert run.completed_iterations == group.stop
        assert rows(history, claim.run_id) == expected, grouping


def test_a_group_that_is_repeated_because_its_answer_was_lost_changes_nothing(
    history: History,
) -> None:
    claim = claimed(history)
    commits = made(claim)
    history.commit(claim, commits[:1])
    first = history.commit(claim, commits[1:4])
    before = rows(history, claim.run_id)
    assert history.commit(claim, commits[1:4]) == first
    assert rows(history, claim.run_id) == before


def nothing_is_left(
    history: History, claim: Claim, commits: Sequence[Commit], error: type[Exception], words: str
) -> None:
    before = rows(history, claim.run_id)
    with pytest.raises(error, match=words):
        history.commit(claim, commits)
    assert rows(history, claim.run_id) == before


#: A way to spoil a group of the iterations 1, 2 and 3.
Change = Callable[[list[Commit]], list[Commit]]


def with_last(**changes: Any) -> Change:
    return lambda group: [*group[:-1], replace(group[-1], **changes)]


def short_ledger(group: list[Commit]) -> list[Commit]:
    return with_last(ledger=group[-1].ledger[:-1])(group)


def naive_time(group: list[Commit]) -> list[Commit]:
    started_at = datetime(2026, 3, 1)  # noqa: DTZ001
    return with_last(iteration=replace(group[-1].iteration, started_at=started_at))(group)


def of_another_claim(group: list[Commit]) -> list[Commit]:
    return with_last(iteration=replace(group[-1].iteration, term=7))(group)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda group: [group[0], group[2]], StateConflict, "Expected iteration 2"),
        (lambda group: group[::-1], StateConflict, "Expected iteration 4"),
        (lambda group: [group[0], *group], StateConflict, "Expected iteration 2"),
        (lambda group: group[1:], StateConflict, "stands after 1 of 7"),
        (of_another_claim, StateConflict, "Expected an iteration of"),
        (short_ledger, LedgerMismatch, "a ledger of 16 images"),
        (naive_time, StorageError, "Expected a time with a time zone"),
    ],
    ids=["gap", "backwards", "twice", "ahead", "another claim", "ledger", "half way"],
)
def test_of_a_group_that_is_refused_nothing_is_left(
    history: History, change: Change, error: type[Exception], words: str
) -> None:
    claim = claimed(history)
    commits = made(claim)
    history.commit(claim, commits[:1])
    nothing_is_left(history, claim, change(commits[1:4]), error, words)


def test_a_group_that_begins_with_a_stored_iteration_and_goes_on_is_refused(
    history: History,
) -> None:
    claim = claimed(history)
    commits = made(claim)
    history.commit(claim, commits[:2])
    nothing_is_left(history, claim, commits[:3], StateConflict, "stands after 2 of 7")


def test_a_group_that_goes_beyond_the_last_iteration_is_refused(history: History) -> None:
    claim = claimed(history, iterations=3)
    nothing_is_left(history, claim, made(claim)[:4], StateConflict, "stands after 0 of 3")


def test_of_an_owner_whose_lease_is_lost_no_iteration_is_stored(history: History) -> None:
    claim = claimed(history)
    commits = made(claim)
    history.commit(claim, commits[:2])
    with history.database.write() as connection:
        runs = metadata.tables["stored_runs"]
        connection.execute(runs.update().values(owner="bob", term=claim.term + 1))
    nothing_is_left(history, claim, commits[2:5], LeaseLost, "it must stop")
