"""A retry from a checkpoint: one curve with its parent, whose history stays the parent's own."""

from __future__ import annotations

import pytest

from tapeworks.cli.commands.watch import watch
from tapeworks.comparison.runs import contender
from tapeworks.model.config import RunConfig
from tapeworks.plotting.curves import Measure, curves
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.submission import grid, new_runs, prepare_runs, retry
from tapeworks.storage.errors import RunNotFound, StateConflict
from tapeworks.storage.glances import find_named
from tapeworks.storage.history import History
from tapeworks.storage.records import Claim, EvaluationRecord, RunRecord
from tests.support.desk import SMALL
from tests.support.training import drive, settings, submitted

#: Evaluated after each of six iterations, all of whose parameters are kept.
CONFIG = settings(
    **SMALL | {"iterations": 6, "evaluate_every": 1, "test_images": 8, "checkpoint_every": 1}
)


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def driven(history: History, run: RunRecord) -> RunRecord:
    return drive(history, LocalDispatcher(), run).run


def run_of(history: History, config: RunConfig = CONFIG) -> RunRecord:
    return driven(history, submitted(history, config))


def retried(history: History, run: RunRecord, after: int, **changes: object) -> RunRecord:
    return driven(history, retry(history, run, after=after, changes=changes))


def test_a_retry_of_a_retry_is_one_curve_from_the_first_iteration(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_of(history)
    second = retried(history, first, 2, learning_rate=0.002)
    third = retried(history, second, 4, learning_rate=0.003)
    whole = history.curve(third)
    assert [record.iteration for record in whole] == list(range(6))
    owners = [first.id] * 2 + [second.id] * 2 + [third.id] * 2
    assert [record.run_id for record in whole] == owners
    assert [record.iteration for record in history.iterations(third.id)] == [4, 5]
    assert {entry.iteration for entry in history.ledger(third.id)} == {4, 5}
    for measure in Measure:
        [line] = curves(history, [third], measure).lines
        assert line.iterations == tuple(range(6))
    assert line.evaluated_after == ()
    [line] = curves(history, [third], Measure.LOSS).lines
    assert line.evaluated_after == tuple(range(1, 7))
    compared = contender(history, third)
    assert [record.iteration for record in compared.curve] == list(range(6))
    assert compared.losses == [record.loss for record in whole[4:]]

    # While it is followed, what it was measured at is shown as it comes.
    capsys.readouterr()
    assert watch(history, third) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("iteration 5/6  loss") or "on held-out images" in said[0]
    assert said[-2].startswith("iteration 6/6  accuracy ")
    assert said[-1] == f"Run {third.id} is completed"

    # A deleted parent takes its part of the curve with it, and nothing else.
    history.queue.delete(first.id)
    assert [record.iteration for record in history.curve(third)] == [2, 3, 4, 5]


def evaluation(run: RunRecord, completed: int, loss: float) -> EvaluationRecord:
    return EvaluationRecord(
        run_id=run.id, completed_iterations=completed, images=8, loss=loss, accuracy=0.5
    )


@pytest.mark.parametrize(
    ("after", "changes", "ends_after"),
    [
        (3, {}, 4),  # as the parent: lowest after 2
        (4, {"iterations": 9}, 6),  # the parent's patience is used up: it begins again
        (3, {"test_images": 4}, 5),  # other images: only its own count
    ],
)
def test_the_patience_of_a_retry_goes_on_from_its_parents_evaluations(
    history: History,
    after: int,
    changes: dict[str, object],
    ends_after: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = [3.0, 1.0, 2.0, 2.5, 2.6, 2.7, 2.8, 2.9, 3.0]

    def measured(_: RunConfig, claim: Claim, history: History, *__: object) -> EvaluationRecord:
        run = history.find_run(claim.run_id)
        found = evaluation(run, run.completed_iterations, losses[run.completed_iterations - 1])
        history.record_evaluation(claim, found)
        return found

    monkeypatch.setattr("tapeworks.scheduler.evaluation.evaluate", measured)
    parent = run_of(history, CONFIG.model_copy(update={"patience": 2}))
    assert parent.completed_iterations == 4
    new = retried(history, parent, after, **changes)
    assert new.completed_iterations == ends_after


def test_a_run_whose_evaluations_are_needed_is_not_deleted(history: History) -> None:
    first = run_of(history, CONFIG.model_copy(update={"patience": 5}))
    waiting = retry(history, first, after=2)
    with pytest.raises(StateConflict, match=f"needed by run {waiting.id}"):
        history.queue.delete(first.id)
    history.queue.cancel(waiting.id)
    history.queue.delete(first.id)


def test_a_grids_name_means_its_runs_and_their_newest_retries(history: History) -> None:
    def submit_grid() -> list[RunRecord]:
        prepared = prepare_runs(grid(SMALL, {"seed": [1, 2, 3]}))
        return history.queue.submit(new_runs(prepared, name="grid", is_grid=True))

    def ids() -> list[str]:
        return [run.id for run in find_named(history.database, "grid")]

    old, new = submit_grid(), submit_grid()
    assert ids() == [run.id for run in new]
    again = retry(history, retry(history, new[1]))
    of_old = retry(history, old[0])
    retry(history, new[2], name="grid-4")
    submitted(history, CONFIG, name="grid-9")
    assert ids() == [new[0].id, again.id, new[2].id]
    for run in new:
        history.queue.cancel(run.id)
        history.queue.delete(run.id)
    assert ids() == [of_old.id, old[1].id, old[2].id]
    with pytest.raises(RunNotFound):
        find_named(history.database, "gri")
