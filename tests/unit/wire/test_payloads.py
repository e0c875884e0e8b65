"""Images and parameters that a worker keeps: fetched once, parsed once, within bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import cast

import numpy as np
import pytest

from tapeworks.model.errors import ParametersError
from tapeworks.model.parameters import digest, to_bytes
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import ShardMessage
from tapeworks.workers import worker as process
from tapeworks.workers.worker import MOST_PARAMETERS, Payloads
from tests.support.messages import message


def chunk(number: int) -> bytes:
    return to_bytes({"images": np.full((2, 2, 2), number, np.uint8)})


def parameters(number: int) -> bytes:
    return to_bytes({"conv_1": np.full(4, number, np.float32)})


def shard(first: bytes, *chunks: bytes) -> ShardMessage:
    """A message that needs these parameters and chunks."""
    asked = message("run", 0)
    return asked.model_copy(
        update={
            "parameters_digest": digest(first),
            "chunks": {number: digest(payload) for number, payload in enumerate(chunks)},
        }
    )


class Shelf:
    """The payloads in Redis; counts the fetches of each, and the round trips."""

    def __init__(self, *payloads: bytes) -> None:
        self.there = {digest(payload): payload for payload in payloads}
        self.looked, self.fetched, self.trips = Counter[str](), Counter[str](), 0

    def look(self, _: ShardMessage, limits: Mapping[str, int]) -> tuple[bool, dict[str, bytes]]:
        self.looked.update(list(limits))
        return False, self._found(limits)

    def fetch(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        self.trips += bool(limits)
        self.fetched.update(list(limits))
        return self._found(limits)

    def _found(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        return {name: self.there[name] for name in limits if name in self.there}


def kept(shelf: Shelf) -> Payloads:
    return Payloads(cast(Exchange, shelf))


def test_parameters_come_with_the_look_and_all_chunks_in_one_round_trip() -> None:
    shelf = Shelf(parameters(0), chunk(0), chunk(1))
    payloads, asked = kept(shelf), shard(parameters(0), chunk(0), chunk(1))
    payloads.begin(asked)
    found = payloads.fetch(asked)
    assert found.keys() == asked.payload_limits.keys()
    assert shelf.looked.keys() == {digest(parameters(0))}
    assert shelf.fetched.keys() == {digest(chunk(0)), digest(chunk(1))}
    assert shelf.trips == 1


def test_what_was_fetched_is_neither_fetched_nor_parsed_again() -> None:
    shelf = Shelf(parameters(0), chunk(0), chunk(1))
    payloads = kept(shelf)
    for _ in range(3):
        for asked in (shard(parameters(0), chunk(0)), shard(parameters(0), chunk(0), chunk(1))):
            payloads.begin(asked)
            found = payloads.fetch(asked)
    assert {*shelf.looked.values(), *shelf.fetched.values()} == {1}
    assert payloads.fetch(asked)[digest(chunk(1))] is found[digest(chunk(1))]


def test_a_chunk_outlasts_the_parameters_of_any_number_of_iterations() -> None:
    shelf = Shelf(chunk(0), chunk(1), *map(parameters, range(4 * MOST_PARAMETERS)))
    payloads = kept(shelf)
    for iteration in range(4 * MOST_PARAMETERS):
        asked = shard(parameters(iteration), chunk(0))
        payloads.begin(asked)
        payloads.fetch(asked)
    assert shelf.fetched[digest(chunk(0))] == 1
    payloads.begin(shard(parameters(0), chunk(0)))
    assert shelf.looked[digest(parameters(0))] == 2, "of past iterations a few are kept"


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHUNKS_BYTES", 12)
    shelf = Shelf(parameters(0), *map(chunk, range(3)), to_bytes({"images": np.zeros(13)}))
    payloads = kept(shelf)
    for number in (0, 1, 1, 0):  # 8 bytes each
        payloads.fetch(shard(parameters(0), chunk(number)))
    assert shelf.fetched[digest(chunk(0))] == 2
    assert shelf.fetched[digest(chunk(1))] == 1
    large = shard(parameters(0), to_bytes({"images": np.zeros(13)}))
    assert (
        payloads.fetch(large).keys() == payloads.fetch(large).keys() == large.payload_limits.keys()
    )


def test_what_is_gone_is_left_out_and_what_is_no_array_is_told() -> None:
    payloads = kept(Shelf(chunk(0), b"rubbish"))
    asked = shard(parameters(0), chunk(0))
    payloads.begin(asked)
    assert payloads.fetch(asked).keys() == {digest(chunk(0))}
    with pytest.raises(ParametersError):
        payloads.fetch(shard(b"rubbish", chunk(0)))
