"""The sums of each worker's share in a run: added to with each commit, in a few statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from tapeworks.storage.history import History
from tapeworks.storage.records import Claim
from tests.support.made_up import commit_of, iteration_of, ledger_of, submit_and_claim

IMAGES = 20


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def commit(history: History, claim: Claim, number: int, workers: Sequence[str]) -> None:
    """Commit an iteration with a shard of each of these workers, all alike."""
    record, each = iteration_of(claim, number), IMAGES // len(workers)
    ledger = [
        replace(
            ledger_of(record)[0],
            shard=place,
            first_image=place * each,
            image_count=each,
            worker=worker,
        )
        for place, worker in enumerate(workers)
    ]
    history.commit(claim, [replace(commit_of(record), ledger=ledger)])


@contextmanager
def counted(history: History) -> Iterator[list[str]]:
    """Note the statements that are sent meanwhile."""
    engine, statements = history.database._engine, list[str]()

    def note(*call: Any) -> None:
        statements.append(call[2])

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def test_known_workers_and_new_ones_are_credited(history: History) -> None:
    claim = submit_and_claim(history)
    computed = [["b", "a", "b", "b"], ["b", "c", "a", "d"]]
    for number, workers in enumerate(computed):
        commit(history, claim, number, workers)
    ledgers = [history.ledger(claim.run_id, number) for number in range(2)]
    assert [[line.worker for line in ledger] for ledger in ledgers] == computed
    found = [(one.name, one.images, one.answers) for one in history.workers(claim.run_id)]
    assert found == [("b", 20, 4), ("a", 10, 2), ("c", 5, 1), ("d", 5, 1)]
    [first, *_] = history.workers(claim.run_id)
    assert first.seconds == pytest.approx(0.4)


def test_a_commit_needs_no_more_statements_for_more_workers(history: History) -> None:
    claim, needed = submit_and_claim(history), list[int]()
    many = [f"worker-{place}" for place in range(20)]
    for number, workers in enumerate([many, many, many[:1]]):
        with counted(history) as statements:
            commit(history, claim, number, workers)
        needed.append(len(statements))
    assert needed[1] == needed[2] < needed[0]


def test_a_commit_needs_no_more_statements_for_more_iterations(history: History) -> None:
    needed = list[int]()
    for count in (1, 2):
        claim = submit_and_claim(history)
        commit(history, claim, 0, ["a"])
        group = [commit_of(iteration_of(claim, number)) for number in range(1, 1 + count)]
        with counted(history) as statements:
            history.commit(claim, [replace(one, keep_previous_checkpoint=False) for one in group])
        needed.append(len(statements))
    assert needed[0] == needed[1]
