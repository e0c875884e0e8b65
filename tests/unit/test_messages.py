"""Shard messages: what asks too much of a worker is refused before anything is allocated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.entries import entry
from tests.support.messages import message
from workers.entries import rewritten
from workers.limits import LARGEST_SHARD_IMAGES, MOST_SHARD_CHUNKS
from workers.messages import ShardMessage
from workers.signing import Purpose, Signer

RIGHT: dict[str, Any] = json.loads(message("run", 0).model_dump_json())

#: A number that takes as much room as any.
LONG = 2**31 - 1


def changed(**values: Any) -> str:
    return json.dumps(RIGHT | values)


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
        {"microbatches": []},
        {"microbatches": [{"index": 0, "images": []}]},
        {"microbatches": [{"index": 0, "images": [-1]}]},
        {"microbatches": [{"index": 0, "images": [0] * 17}]},
        {"microbatches": [{"index": 0, "images": [0]}] * (LARGEST_SHARD_IMAGES + 1)},
        {"wanted": "per-image", "microbatches": [{"index": 0, "images": [0] * 16}] * 4000}
        | network(filters=30),
        {"run_id": "x" * 401},
        {"iteration": 2**31},
        {"not_for": ["x" * 401]},
    ],
)
def test_a_message_that_asks_too_much_cannot_be_read(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ShardMessage.model_validate_json(changed(**values))


def test_the_largest_message_that_can_be_asked_fits_into_an_entry_of_the_queue() -> None:
    text = changed(
        attempt_id="x" * 400,
        run_id="x" * 400,
        wanted="nothing",
        chunks={str(LONG - number): "1" * 64 for number in range(MOST_SHARD_CHUNKS)},
        microbatches=[{"index": LONG, "images": [LONG]}] * LARGEST_SHARD_IMAGES,
    )
    asked = ShardMessage.model_validate_json(text)
    sealed = Signer(b"k" * 32).seal(Purpose.MESSAGE, asked.model_dump_json())
    assert rewritten(entry(sealed))
