"""Parameters that nobody needs are removed, and what takes room is told, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tapeworks.storage.history import History
from tapeworks.storage.maintenance import prune, table_sizes
from tapeworks.storage.records import Claim, EvaluationRecord, Metric, RunStatus
from tests.support.made_up import commit, kinds, submit_and_claim


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


@pytest.fixture
def claim(history: History) -> Claim:
    """A run of three iterations, all of them kept, the second one the best on held-out images."""
    claim = submit_and_claim(history)
    for number in range(3):
        commit(history, claim, number)
        evaluation = EvaluationRecord(
            run_id=claim.run_id,
            completed_iterations=number + 1,
            images=4,
            loss=abs(number - 1) + 1.0,
            accuracy=0.25 * number,
        )
        history.record_evaluation(claim, evaluation)
    return claim


def kept(history: History, run_id: str) -> list[int]:
    with history.database.read() as connection:
        query = "SELECT completed_iterations FROM checkpoints ORDER BY completed_iterations"
        return [row[0] for row in connection.exec_driver_sql(query)]


@pytest.mark.parametrize(
    ("metric", "gone"), [(None, [1, 2]), (Metric.LOSS, [1]), (Metric.ACCURACY, [1, 2])]
)
def test_the_initial_the_newest_and_the_best_parameters_stay(
    history: History, claim: Claim, metric: Metric | None, gone: list[int]
) -> None:
    history.finish(claim, RunStatus.COMPLETED)
    later = history.database.now() + timedelta(seconds=1)
    would = prune(history.database, later, metric, dry_run=True)
    assert kept(history, claim.run_id) == [0, 1, 2, 3]
    assert history.find_run(claim.run_id).pruned_at is None

    assert prune(history.database, later, metric, dry_run=False) == would
    [removed] = would
    assert (removed.run_id, removed.checkpoints) == (claim.run_id, gone)
    assert removed.bytes == len(b"parameters 1") * len(gone)
    assert kept(history, claim.run_id) == [one for one in range(4) if one not in gone]
    assert history.find_run(claim.run_id).pruned_at is not None
    assert kinds(history, claim.run_id)[-1] == "pruned"
    assert prune(history.database, later, metric, dry_run=False) == []
    assert len(history.iterations(claim.run_id)) == 3


def test_runs_that_are_not_over_or_ended_later_are_left_alone(
    history: History, claim: Claim
) -> None:
    later = history.database.now() + timedelta(seconds=1)
    assert prune(history.database, later, None, dry_run=False) == []
    before = history.database.now()
    history.finish(claim, RunStatus.COMPLETED)
    assert prune(history.database, before, None, dry_run=False) == []


def test_every_table_tells_its_rows_and_its_size(history: History, claim: Claim) -> None:
    sizes = {size.table: size for size in table_sizes(history.database)}
    assert sizes["stored_iterations"].rows == 3
    assert sizes["stored_checkpoints"].rows == 4
    assert sizes["stored_tags"].rows == 0
    assert all(size.bytes > 0 for size in sizes.values())
    history.database.shrink()
    assert {size.table for size in table_sizes(history.database)} == set(sizes)
