"""Networks that predict nothing, and gradients without norms: NULL, and nothing else changes."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tapeworks.storage.errors import StateConflict
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import query
from tapeworks.storage.records import Claim, EvaluationRecord, ImageValues
from tests.support.made_up import commit_of, iteration_of, submit, values_of

MISSING = [
    {"gradient_norms": None, "predictions": None},
    {"gradient_norms": None},
    {"predictions": None},
    {},
]


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def claimed(history: History) -> Claim:
    run = submit(history, iterations=8, configuration={"classes": [3, 6]})
    return history.claim(run.id, "alice", 60.0)


def store(history: History, claim: Claim, number: int, values: ImageValues) -> None:
    accuracy = None if values.predictions is None else 0.5
    record = replace(iteration_of(claim, number), accuracy=accuracy)
    made = replace(commit_of(record), image_values=values, record_images=True)
    history.commit(claim, [made])


@pytest.mark.parametrize("missing", MISSING, ids=str)
@pytest.mark.parametrize("numbers", [None, range(19, -1, -1)], ids=["in place", "drawn"])
def test_what_an_iteration_does_not_have_is_missing_everywhere(
    history: History, missing: Mapping[str, Any], numbers: range | None
) -> None:
    claim = claimed(history)
    history.set_images(claim, "images", bytes(place % 2 for place in range(20)))
    drawn = array("i", numbers).tobytes() if numbers else None
    values = replace(values_of(1), image_numbers=drawn, **missing)
    store(history, claim, 0, values)

    assert history.image_values(claim.run_id, 0) == values
    assert history.list_recorded_iterations(claim.run_id) == [0]
    [record] = history.iterations(claim.run_id)
    assert record.accuracy == (None if "predictions" in missing else 0.5)
    seen = query(history.database, "SELECT * FROM images ORDER BY place")
    assert seen.column("loss") == array("f", values.losses).tolist()
    places = list(numbers or range(20))
    assert seen.column("label") == [(3, 6)[place % 2] for place in places]
    norms = [None] * 20 if "gradient_norms" in missing else array("f", values.gradient_norms or b"")
    assert seen.column("gradient_norm") == list(norms)
    predicted = [None] * 20 if "predictions" in missing else [3, 6] * 10
    assert seen.column("predicted") == predicted
    found = query(history.database, "SELECT accuracy FROM iterations").column("accuracy")
    assert found == [record.accuracy]


def test_an_iteration_without_predictions_is_told_from_one_that_is_not_recorded(
    history: History,
) -> None:
    claim = claimed(history)
    nothing = replace(values_of(), gradient_norms=None, predictions=None)
    for number in range(3):
        record = replace(iteration_of(claim, number), accuracy=None)
        made = replace(commit_of(record), image_values=nothing, record_images=number != 1)
        history.commit(claim, [made])
    assert history.list_recorded_iterations(claim.run_id) == [0, 2]
    assert list(history.image_values_of(claim.run_id, [0, 1, 2])) == [0, 2]
    seen = query(history.database, "SELECT DISTINCT iteration FROM images ORDER BY iteration")
    assert seen.column("iteration") == [0, 2]


def test_targets_that_are_no_classes_are_no_labels(history: History) -> None:
    claim = claimed(history)
    history.set_images(claim, "images", None)
    store(history, claim, 0, values_of())
    seen = query(history.database, "SELECT label, predicted FROM images")
    assert set(seen.column("label")) == {None}
    assert set(seen.column("predicted")) == {3, 6}


def test_an_evaluation_may_have_no_accuracy(history: History) -> None:
    claim = claimed(history)
    store(history, claim, 0, replace(values_of(), predictions=None))
    evaluation = EvaluationRecord(
        run_id=claim.run_id, completed_iterations=1, images=4, loss=1.5, accuracy=None
    )
    history.record_evaluation(claim, evaluation)
    assert history.evaluations(claim.run_id) == [evaluation]
    found = query(history.database, "SELECT accuracy, confusion FROM evaluations")
    assert found.rows == ((None, None),)
    of_run = query(history.database, "SELECT test_loss, test_accuracy FROM runs")
    assert of_run.rows == ((1.5, None),)


@pytest.mark.parametrize("name", ["losses", "gradient_norms", "predictions", "image_numbers"])
@pytest.mark.parametrize("cut", [1, -1])
def test_arrays_of_other_lengths_are_refused(history: History, name: str, cut: int) -> None:
    claim = claimed(history)
    whole = replace(values_of(), image_numbers=array("i", range(20)).tobytes())
    content = getattr(whole, name)
    wrong = content[:-1] if cut > 0 else content + b"\0"
    with pytest.raises(StateConflict, match=f"Expected {name} of 20 images"):
        store(history, claim, 0, replace(whole, **{name: wrong}))
    assert history.iterations(claim.run_id) == []
