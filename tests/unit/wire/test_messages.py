"""Shard messages: what asks too much of a worker is refused before anything is allocated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from tapeworks.model.networks.own.spec import MOST_ARRAYS
from tapeworks.model.parameters import to_bytes
from tapeworks.wire.envelopes import argument, entry
from tapeworks.wire.errors import MessageUnreadable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.limits import LARGEST_SHARD_IMAGES, MOST_SHARD_CHUNKS
from tapeworks.wire.messages import (
    AnswerHeader,
    AttemptKey,
    SchedulerRecord,
    ShardMessage,
    Status,
    WorkerRecord,
)
from tapeworks.wire.signing import Purpose, Signer
from tests.support.messages import message
from tests.support.own_networks import own_network

RIGHT: dict[str, Any] = json.loads(message("run", 0).model_dump_json())

ANSWER = AnswerHeader(
    key=AttemptKey(run="run", term=1, iteration=0, shard=0, attempt=1),
    parameters_digest="0" * 64,
    status=Status.DONE,
    worker="w",
    fingerprint="ab",
    seconds=0.5,
)

#: A number that takes as much room as any.
LONG = 2**31 - 1


def changed(**values: Any) -> str:
    return json.dumps(RIGHT | values)


def key(**values: Any) -> dict[str, Any]:
    return {"key": RIGHT["key"] | values}


def network(**values: Any) -> dict[str, Any]:
    return {"network": RIGHT["network"] | values}


@pytest.mark.parametrize(
    "values",
    [
        network(image_side=1024, filters=1024, class_count=256),
        network(image_side=1024, filters=64, microbatch_size=65536),
        network(image_side=1025),
        network(kernel_sizes=[10**300]),
        network(kernel_sizes=[28]),
        network(unfolding="full", image_side=200, kernel_sizes=[9, 9, 9]),
        {"chunk_images": 65536} | network(image_side=1024, filters=1, kernel_sizes=[1000]),
        {"chunk_images": 0},
        {"chunks": {str(number): "1" * 64 for number in range(MOST_SHARD_CHUNKS + 1)}},
        {"chunks": {"0": "not a digest"}},
        {"images": []},
        {"images": [-1]},
        {"images": [0] * (LARGEST_SHARD_IMAGES + 1)},
        {"images": [2**31]},
        {"first_microbatch": -1},
        {"first_microbatch": 2**31},
        {"wanted": "per-image", "images": [0] * 64_000} | network(filters=30),
        {"wanted": "summed", "first_microbatch": 1, "images": [0] * 64_000}
        | network(filters=1024, microbatch_size=1, image_side=72, kernel_sizes=[3]),
        key(run="x" * 351),
        key(iteration=2**31),
        {"not_for": ["x" * 401]},
    ],
)
def test_a_message_that_asks_too_much_cannot_be_read(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ShardMessage.model_validate_json(changed(**values))


@pytest.mark.parametrize("values", [{"images": [-1] * 10**5}, {"not_for": [0] * 10**5}])
def test_of_a_hostile_list_one_element_is_told(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        ShardMessage.model_validate_json(changed(**values))
    assert raised.value.error_count() < 10, "each would take memory"


@pytest.mark.parametrize("text", ["", "{}", "[" * 10**6, '{"a": ' * 10**5, "9" * 10**5, "NaN"])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(MessageUnreadable, match="install the same version"):
        Exchange("redis://127.0.0.1:1/0").open_message(text)


def test_the_largest_message_that_can_be_asked_fits_into_an_entry_of_the_queue() -> None:
    text = changed(
        **key(run="x" * 350, term=LONG, iteration=LONG, shard=LONG, attempt=LONG),
        wanted="nothing",
        chunks={str(LONG - number): "1" * 64 for number in range(MOST_SHARD_CHUNKS)},
        first_microbatch=LONG,
        images=[LONG] * LARGEST_SHARD_IMAGES,
    )
    asked = ShardMessage.model_validate_json(text)
    sealed = Signer(b"k" * 32).seal(Purpose.MESSAGE, asked.model_dump_json())
    assert argument(entry(sealed)) == sealed


def unbounded(schema: Any, path: str = "") -> Iterator[str]:
    """The numbers in a JSON schema that may be as large as one likes."""
    if isinstance(schema, list):
        for place, part in enumerate(schema):
            yield from unbounded(part, f"{path}/{place}")
    if isinstance(schema, dict):
        is_number = schema.get("type") in {"integer", "number"}
        if is_number and not schema.keys() & {"maximum", "exclusiveMaximum"}:
            yield path
        for name, part in schema.items():
            yield from unbounded(part, f"{path}/{name}")


@pytest.mark.parametrize("kind", [ShardMessage, AnswerHeader, WorkerRecord, SchedulerRecord])
def test_every_number_in_a_message_has_an_upper_bound(kind: type[BaseModel]) -> None:
    found = set(unbounded(kind.model_json_schema()))
    assert {path for path in found if "kernel_sizes" not in path} == set()  # fit into an image


@pytest.mark.parametrize("seconds", ["1.7e308", "1e999", "NaN", "-1", "1e7"])
def test_seconds_that_nobody_could_have_spent_cannot_be_read(seconds: str) -> None:
    header = ANSWER.model_dump_json().replace('"seconds":0.5', f'"seconds":{seconds}')
    assert seconds in header
    with pytest.raises(ValidationError):
        AnswerHeader.model_validate_json(header)


@pytest.mark.parametrize("name", ["a", "\x01\u20ac" * 16])
def test_parameters_in_many_arrays_fit_into_what_a_worker_reads(name: str) -> None:
    names = [f"{name}{number}" for number in range(MOST_ARRAYS)]
    arrays = {one[-100:]: np.zeros((1,) * 8, np.float32) for one in names}
    network = own_network(arrays=tuple((one, array.shape) for one, array in arrays.items()))

    payload = to_bytes(arrays)

    assert len(arrays) == MOST_ARRAYS
    assert len(payload) <= 4 * network.parameter_count + network.header_bytes
