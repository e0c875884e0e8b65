"""Answers: the right one is taken whole, and one wrong byte anywhere is enough to refuse it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.model.engine.slices import answer_arrays
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, from_bytes, to_bytes
from tapeworks.scheduler.core.sharding import Shard
from tapeworks.scheduler.dispatch import answers as validation
from tapeworks.scheduler.dispatch.answers import (
    fewest_shards,
    largest_bytes,
    outcome_of,
    read_arrays,
    read_header,
    sums_of,
)
from tapeworks.scheduler.dispatch.contract import Outcome, Work
from tapeworks.scheduler.errors import AnswerInvalid
from tapeworks.wire.limits import ARRAYS_HEADER_BYTES, LONGEST_NAME
from tapeworks.wire.messages import checksum
from tests.reference_numpy import microbatch_sum
from tests.support.answers import NETWORK, attempt, header, results, work

EVERY_FORM = pytest.mark.parametrize("wanted", list(GradientForm))


def answer(asked: Work) -> bytes:
    return to_bytes(answer_arrays(results(asked), asked.network, asked.wanted))


def read(asked: Work, payload: bytes, header_bytes: bytes | None = None) -> tuple[Outcome, Arrays]:
    """As the scheduler reads an answer, with the header that names the right checksum."""
    to = attempt(asked)
    given_header = header_bytes or header(asked, payload).model_dump_json().encode()
    judged = read_header(given_header, asked, to)
    arrays = read_arrays(payload, judged, asked, to)
    return outcome_of(arrays, judged, asked, to), sums_of(arrays, asked, to.shard)


def changed_header(asked: Work, **values: Any) -> bytes:
    right = header(asked, answer(asked)).model_dump(mode="json")
    return json.dumps(right | values).encode()


@EVERY_FORM
def test_the_right_answer_is_taken_whole(wanted: GradientForm) -> None:
    asked = work(wanted)
    outcome, _ = read(asked, answer(asked))
    for name in ("losses", "gradient_norms", "predictions"):
        expected = np.concatenate([getattr(result, name) for result in results(asked)])
        np.testing.assert_array_equal(outcome.values[name], expected)
    assert outcome.shard.images.tolist() == asked.images.tolist()
    assert outcome.key == asked.key(0, 2)
    assert (outcome.worker, outcome.seconds) == ("worker-1", 0.5)


def test_sums_have_the_same_bits_whether_the_worker_or_the_scheduler_adds() -> None:
    per_image, summed = work(GradientForm.PER_IMAGE), work(GradientForm.SUMMED)
    (_, here), (_, there) = read(per_image, answer(per_image)), read(summed, answer(summed))
    assert to_bytes(here) == to_bytes(there)
    by_microbatch = [result.gradients for result in results(per_image)]
    for name, array in there.items():
        first, second, third = (microbatch_sum(part[name]) for part in by_microbatch)
        assert array.dtype == np.float64
        assert array.tobytes() == np.stack([first + second, third]).tobytes()


def test_an_evaluation_brings_no_sums() -> None:
    asked = work(GradientForm.NOTHING)
    assert read(asked, answer(asked))[1] == {}


def test_an_answer_to_an_evaluation_is_none_to_the_iteration_that_comes_next() -> None:
    iteration, evaluation = work(), work(GradientForm.NOTHING)
    for asked, answered in ((iteration, evaluation), (evaluation, iteration)):
        late = header(answered, answer(answered)).model_dump_json().encode()
        with pytest.raises(AnswerInvalid, match="expected attempt run"):
            read_header(late, asked, attempt(asked))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run", "another run"),
        ("term", 1),
        ("term", 3),
        ("iteration", 4),
        ("iteration", 6),
        ("shard", 1),
        ("attempt", 1),
        ("evaluation", True),
    ],
)
def test_a_header_of_another_attempt_is_refused_and_named(field: str, value: Any) -> None:
    asked = work()
    to = attempt(asked)
    key = asked.key(to.shard.index, to.number).model_copy(update={field: value})
    with pytest.raises(AnswerInvalid, match=f"expected attempt {to.id}, received {key.id}"):
        read_header(changed_header(asked, key=key.model_dump()), asked, to)


def test_a_header_of_other_parameters_is_refused_and_named() -> None:
    asked = work()
    with pytest.raises(AnswerInvalid, match="expected parameters_digest="):
        read_header(changed_header(asked, parameters_digest="0" * 64), asked, attempt(asked))


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x04\x95pickle", id="no JSON"),
        pytest.param(b"[1, 2, 3]", id="a list"),
        pytest.param(b'{"key": {"run": "run"}}', id="half of the fields"),
        pytest.param(b'{"key": ', id="truncated"),
        pytest.param(b"[" * 100_000, id="deeply nested"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe{}", id="no UTF-8"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(garbage: bytes) -> None:
    asked = work()
    with pytest.raises(AnswerInvalid, match="header cannot be read"):
        read_header(garbage, asked, attempt(asked))


@pytest.mark.parametrize(
    "values",
    [
        {"surplus": 1},
        {"status": "splendid"},
        {"key": {"run": "run", "term": "two"}},
        {"seconds": None},
    ],
    ids=["a field too many", "an unknown status", "a word for a key", "a missing number"],
)
def test_a_header_with_a_field_of_no_sense_is_refused(values: dict[str, Any]) -> None:
    asked = work()
    with pytest.raises(AnswerInvalid, match="header cannot be read"):
        read_header(changed_header(asked, **values), asked, attempt(asked))


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_noticed(place: int, bit: int) -> None:
    asked = work()
    payload = answer(asked)
    spoilt = bytearray(payload)
    spoilt[place % len(payload)] ^= 1 << bit
    right_header = header(asked, payload).model_dump_json().encode()
    with pytest.raises(AnswerInvalid, match="not those that were sent"):
        read(asked, bytes(spoilt), right_header)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1])
def test_a_truncated_answer_is_noticed_even_with_a_fitting_checksum(length: int) -> None:
    asked = work()
    with pytest.raises(AnswerInvalid):
        read(asked, answer(asked)[:length])


def test_bytes_behind_the_arrays_are_noticed_even_with_a_fitting_checksum() -> None:
    asked = work()
    with pytest.raises(AnswerInvalid, match="arrays cannot be read"):
        read(asked, answer(asked) + b"\0")


def _without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: array for key, array in arrays.items() if key != name}


def _with(name: str, change: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: change(arrays[name])}


WRONG_ARRAYS: dict[str, Callable[[Arrays], Arrays]] = {
    "no arrays at all": lambda _: {},
    "no losses": _without("losses"),
    "no gradients of one parameter": _without("dense_1"),
    "an array too many": lambda arrays: arrays | {"conv_2": arrays["conv_1"]},
    "an array under another name": lambda arrays: {
        ("conv_9" if name == "conv_1" else name): array for name, array in arrays.items()
    },
    "float64 losses": _with("losses", lambda array: array.astype(np.float64)),
    "float16 gradients": _with("conv_1", lambda array: array.astype(np.float16)),
    "a prediction of no class": _with("predictions", lambda array: array + NETWORK.class_count),
    "a negative prediction": _with("predictions", lambda array: array - 1),
    "int64 predictions": _with("predictions", lambda array: array.astype(np.int64)),
    "an image too few": _with("losses", lambda array: array[:-1]),
    "an image too many": _with("conv_1", lambda array: np.concatenate([array, array[:1]])),
    "one loss for all": _with("losses", lambda array: array[:1]),
    "an axis too many": _with("gradient_norms", lambda array: array[:, np.newaxis]),
    "axes in another order": _with("dense_1", lambda array: np.moveaxis(array, 1, -1)),
}


@pytest.mark.parametrize("wanted", [GradientForm.PER_IMAGE, GradientForm.SUMMED])
@pytest.mark.parametrize("change", WRONG_ARRAYS.values(), ids=list(WRONG_ARRAYS))
def test_wrong_arrays_are_refused_even_with_a_fitting_checksum(
    wanted: GradientForm, change: Callable[[Arrays], Arrays]
) -> None:
    asked = work(wanted)
    wrong = change(from_bytes(answer(asked)))
    with pytest.raises(AnswerInvalid, match="expected"):
        read(asked, to_bytes(wrong))


def test_gradients_are_refused_where_none_were_asked_for() -> None:
    with pytest.raises(AnswerInvalid, match="expected arrays"):
        read(work(GradientForm.NOTHING), answer(work(GradientForm.PER_IMAGE)))


def test_per_image_gradients_are_refused_where_sums_were_asked_for() -> None:
    asked = work(GradientForm.SUMMED)
    with pytest.raises(AnswerInvalid, match="expected conv_1 as float64"):
        read(asked, answer(work(GradientForm.PER_IMAGE)))


@EVERY_FORM
def test_the_right_answer_is_within_the_largest_length(wanted: GradientForm) -> None:
    asked = work(wanted)
    limit = largest_bytes(asked, attempt(asked).shard)
    assert len(answer(asked)) <= limit <= len(answer(asked)) + ARRAYS_HEADER_BYTES


def test_the_checksum_is_that_of_the_whole_answer() -> None:
    asked = work()
    wrong = changed_header(asked, payload_checksum=checksum(b"something else"))
    with pytest.raises(AnswerInvalid, match="not those that were sent"):
        read(asked, answer(asked), wrong)


def test_work_is_cut_so_that_a_shard_fits_into_a_message_and_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = work()
    assert fewest_shards(asked) == 1
    monkeypatch.setattr(validation, "LARGEST_SHARD_IMAGES", 4)
    assert fewest_shards(asked) == 4
    monkeypatch.setattr(validation, "USUAL_ANSWER_BYTES", largest_bytes(asked, whole(asked)) // 5)
    assert fewest_shards(asked) >= 10


def whole(asked: Work) -> Shard:
    return attempt(asked).shard


def test_no_more_of_an_answer_is_told_than_a_person_reads() -> None:
    asked = work()
    long = changed_header(asked, parameters_digest="x" * LONGEST_NAME)
    with pytest.raises(AnswerInvalid) as raised:
        read(asked, answer(asked), long)
    assert len(str(raised.value)) < 600
