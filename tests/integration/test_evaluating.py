"""Evaluations between the iterations: what they say, and that nobody's death changes them."""

from __future__ import annotations

import numpy as np
import pytest

from tapeworks.model import datasets
from tapeworks.model.images import normalise
from tapeworks.model.parameters import from_bytes
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import Driver
from tapeworks.scheduler.errors import Interrupted
from tapeworks.scheduler.events import EvaluationStored, Event, IterationCommitted
from tapeworks.storage.history import History
from tapeworks.storage.records import EvaluationRecord, RunRecord, RunStatus
from tests import reference_numpy
from tests.support.calls import Call
from tests.support.desk import SMALL
from tests.support.replaying import replayed
from tests.support.training import drive, settings, submitted

#: Overshoots in its third iteration, and never recovers. Keeps but what is evaluated.
CONFIG = settings(
    **SMALL
    | {
        "iterations": 7,
        "classes": (3, 8),
        "learning_rate": 0.5,
        "test_images": 20,
        "evaluate_every": 2,
        "checkpoint_every": 1000,
    }
)

#: Of the same, stopped early.
PATIENT = CONFIG.model_copy(update={"patience": 2})


@pytest.fixture(scope="module")
def undisturbed_evaluations(tmp_path_factory: pytest.TempPathFactory) -> list[EvaluationRecord]:
    history = History.open(tmp_path_factory.mktemp("evaluated") / "runs.db")
    run = drive(history, LocalDispatcher(), submitted(history, CONFIG)).run
    evaluations = history.evaluations(run.id)
    history.database.close()
    return evaluations


def measured(evaluations: list[EvaluationRecord]) -> list[tuple[object, ...]]:
    """All but whose they are."""
    return [
        (each.completed_iterations, each.images, each.loss, each.accuracy, each.confusion)
        for each in evaluations
    ]


def leave_after(history: History, run: RunRecord, completed: int, *, evaluated: bool) -> None:
    """Leave the run like one whose driver dies after this iteration, or after its evaluation."""

    def leave(event: Event) -> None:
        match event:
            case IterationCommitted(record=iteration) if not evaluated:
                done = iteration.iteration + 1
            case EvaluationStored(record=evaluation) if evaluated:
                done = evaluation.completed_iterations
            case _:
                return
        if done == completed:
            raise Interrupted

    driver = Driver(
        history=history,
        dispatcher=LocalDispatcher(),
        stopped_status=RunStatus.PAUSED,
        events=leave,
    )
    with pytest.raises(Interrupted):
        driver.drive(driver.claim(run.id))


def test_evaluations_are_the_slow_networks(
    history: History, undisturbed_evaluations: list[EvaluationRecord]
) -> None:
    run = drive(history, LocalDispatcher(), submitted(history, CONFIG)).run
    held_out = datasets.load(CONFIG).test

    assert [one.completed_iterations for one in history.evaluations(run.id)] == [2, 4, 6, 7]
    assert measured(history.evaluations(run.id)) == measured(undisturbed_evaluations)
    for evaluation in history.evaluations(run.id)[:2]:
        checkpoint = history.checkpoint(run.id, evaluation.completed_iterations)
        confusion, loss = [[0, 0], [0, 0]], 0.0
        for image, label in zip(normalise(held_out.images), held_out.labels, strict=True):
            logits = reference_numpy.forward(from_bytes(checkpoint.parameters), image).logits
            confusion[int(label)][int(np.argmax(logits))] += 1
            margin = logits[int(label)] - logits[1 - int(label)]
            loss += 2 * np.logaddexp(0, -margin)  # the same of both classes
        assert evaluation.confusion == confusion
        assert evaluation.accuracy == (confusion[0][0] + confusion[1][1]) / 20
        assert evaluation.loss == pytest.approx(loss, rel=1e-5)
        assert evaluation.images == 20


@pytest.mark.parametrize("completed", [2, 7])
def test_an_evaluation_that_its_owner_did_not_live_to_do_is_done_first(
    completed: int, history: History, undisturbed_evaluations: list[EvaluationRecord]
) -> None:
    run = submitted(history, CONFIG)
    leave_after(history, run, completed, evaluated=False)
    stored = [one.completed_iterations for one in history.evaluations(run.id)]
    assert stored == [done for done in (2, 4, 6) if done < completed]

    told = list[Event]()
    driver = Driver(history=history, dispatcher=LocalDispatcher(), events=told.append)
    driver.drive(driver.claim(run.id))

    first = next(one for one in told if isinstance(one, IterationCommitted | EvaluationStored))
    assert isinstance(first, EvaluationStored)
    assert first.record.completed_iterations == completed
    assert history.find_run(run.id).completed_iterations == 7
    assert measured(history.evaluations(run.id)) == measured(undisturbed_evaluations)


def test_a_run_stops_early_and_keeps_its_best_parameters(
    history: History, undisturbed_evaluations: list[EvaluationRecord]
) -> None:
    run = drive(history, LocalDispatcher(), submitted(history, PATIENT)).run

    assert (run.status, run.completed_iterations) == (RunStatus.COMPLETED, 6)
    assert run.reason == "stopped early: the held-out loss has not fallen since iteration 2"
    assert measured(history.evaluations(run.id)) == measured(undisturbed_evaluations[:3])
    assert history.checkpoint(run.id, 2).digest == history.iterations(run.id)[1].parameters_digest


@pytest.mark.parametrize("evaluated", [False, True])
def test_who_takes_over_stops_where_the_dead_would_have(evaluated: bool, history: History) -> None:
    run = submitted(history, PATIENT)
    leave_after(history, run, 6, evaluated=evaluated)
    assert history.find_run(run.id).status is RunStatus.PAUSED

    taken_over = drive(history, LocalDispatcher(), run).run

    assert (taken_over.status, taken_over.completed_iterations) == (RunStatus.COMPLETED, 6)
    assert taken_over.reason == "stopped early: the held-out loss has not fallen since iteration 2"
    assert len(history.evaluations(run.id)) == 3


def test_a_replay_misses_parameters_that_were_evaluated(history: History) -> None:
    run = drive(history, LocalDispatcher(), submitted(history, CONFIG)).run
    assert replayed(history, run).difference is None
    with history.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM stored_checkpoints WHERE completed_iterations = 4")

    difference = replayed(history, run).difference

    assert difference is not None
    assert difference.iteration == 3


class TestAtTheCommandLine:
    @pytest.fixture
    def run(self, places: object, history: History) -> RunRecord:
        return drive(history, LocalDispatcher(), submitted(history, CONFIG, name="it")).run

    def test_show_tells_the_newest_and_the_best(
        self, run: RunRecord, call: Call, undisturbed_evaluations: list[EvaluationRecord]
    ) -> None:
        first, newest = undisturbed_evaluations[0], undisturbed_evaluations[-1]
        lines = {
            tuple(line.split("  ")[0].split()): line for line in call("show it").out.splitlines()
        }
        accuracy = f"{newest.accuracy:.1%} of 20 images after 7 iterations"
        assert lines["held-out", "accuracy"].endswith(f"  {accuracy}, loss {newest.loss:.4f}")
        assert lines["best", "held-out", "accuracy"].endswith(
            f"  {first.accuracy:.1%} after 2 iterations"
        )
        assert lines["best", "held-out", "loss"].endswith(f"  {first.loss:.4f} after 2 iterations")
        told = call("show it --json").values["evaluations"]
        assert [one["confusion"] for one in told] == [
            one.confusion for one in undisturbed_evaluations
        ]

    def test_evaluate_measures_again_and_writes_nothing(
        self,
        run: RunRecord,
        call: Call,
        history: History,
        undisturbed_evaluations: list[EvaluationRecord],
    ) -> None:
        before = history.evaluations(run.id), history.events(run.id)
        for arguments, expected in {
            "": undisturbed_evaluations[3],
            "--best accuracy": undisturbed_evaluations[0],
            "--after 4": undisturbed_evaluations[1],
        }.items():
            values = call(f"evaluate it {arguments} --json").values
            assert values.pop("run_id") == run.id
            assert values.pop("classes") == [3, 8]
            assert tuple(values.values()) == measured([expected])[0]
        assert (history.evaluations(run.id), history.events(run.id)) == before

    def test_evaluate_takes_other_images_and_tells_people_what_is_taken_for_what(
        self, run: RunRecord, call: Call
    ) -> None:
        called = call("evaluate it --after 2 --test-images 33")
        told = called.out.splitlines()
        assert told[0].split() == ["parameters", "after", "2", "iterations"]
        assert told[2].endswith("of 33 held-out images")
        heading, *rows = told[4:]
        assert heading.split() == ["LABEL", "AS", "3", "AS", "8"]
        counts = [list(map(int, row.split())) for row in rows]
        assert [label for label, *_ in counts] == [3, 8]
        assert sum(sum(row) for _, *row in counts) == 33
