"""The same bits for an image whatever stands beside it (design, promise P1)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from model.config import NetworkConfig, Unfolding
from model.gradients import Engine, EngineResult
from model.parameters import initial
from tests.support.microbatches import SMALL, bright_images, drawn_images, labels_of, row_bits
from workers.fingerprint import GOLDEN_NETWORKS, golden_digest

EngineOf = Callable[[NetworkConfig], Engine]

#: Networks whose rows must not know of each other, nor of where they stand.
ROW_NETWORKS = [
    pytest.param(NetworkConfig(), id="the seed's by 16"),
    pytest.param(NetworkConfig(microbatch_size=64), id="the seed's by 64"),
    pytest.param(NetworkConfig(microbatch_size=13), id="the seed's by 13"),
    pytest.param(SMALL, id="small"),
    pytest.param(SMALL.model_copy(update={"unfolding": Unfolding.FULL}), id="small, full"),
]


class Microbatch:
    """A microbatch without padding, drawn and bright images by turns, and its result."""

    def __init__(self, network: NetworkConfig, compute: Engine) -> None:
        self.compute, self.parameters = compute, initial(network, seed=6)
        self.size = network.microbatch_size
        self.images = bright_images(self.size, network.image_side, seed=6)
        self.images[::2] = drawn_images(len(self.images[::2]), network.image_side, seed=6)
        self.labels = labels_of(self.size, network)
        self.result = self.of(range(self.size))

    def of(self, rows: range | list[int]) -> EngineResult:
        """The result of these of its images, in this order."""
        chosen = list(rows)
        return self.compute(self.parameters, self.images[chosen], self.labels[chosen])


@pytest.fixture(scope="module", params=ROW_NETWORKS)
def full_microbatch(request: pytest.FixtureRequest, engine_of: EngineOf) -> Microbatch:
    network: NetworkConfig = request.param
    return Microbatch(network, engine_of(network))


def test_the_same_microbatch_gives_the_same_bits_again(full_microbatch: Microbatch) -> None:
    again = full_microbatch.of(range(full_microbatch.size))

    for row in range(full_microbatch.size):
        assert row_bits(again, row) == row_bits(full_microbatch.result, row)


@pytest.mark.parametrize("missing", [1, 3, 7])
def test_padding_changes_no_bit_of_an_image(full_microbatch: Microbatch, missing: int) -> None:
    count = full_microbatch.size - missing

    padded = full_microbatch.of(range(count))

    assert len(padded.losses) == count
    for row in range(count):
        assert row_bits(padded, row) == row_bits(full_microbatch.result, row)


def test_neighbours_change_no_bit_of_an_image(full_microbatch: Microbatch) -> None:
    last = full_microbatch.size - 1
    for row in (0, 1, last // 2, last):
        order = [last - other for other in range(full_microbatch.size)]
        order[row] = row
        among_others = full_microbatch.of(order)
        assert row_bits(among_others, row) == row_bits(full_microbatch.result, row)


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_its_position_changes_no_bit_of_an_image(full_microbatch: Microbatch, shift: int) -> None:
    size = full_microbatch.size
    order = [(row + shift) % size for row in range(size)]

    shifted = full_microbatch.of(order)

    for row, original in enumerate(order):
        assert row_bits(shifted, row) == row_bits(full_microbatch.result, original)


@pytest.mark.parametrize("network", [NetworkConfig(), SMALL], ids=["the seed's", "small"])
def test_the_microbatchs_size_changes_no_bit_of_an_image(
    network: NetworkConfig, engine_of: EngineOf
) -> None:
    parameters, images = initial(network, seed=6), drawn_images(13, network.image_side)
    labels = labels_of(13, network)
    first, *others = (
        engine_of(network.model_copy(update={"microbatch_size": size})) for size in (13, 16, 64)
    )

    expected = first(parameters, images, labels)
    alone = engine_of(network.model_copy(update={"microbatch_size": 1}))

    for compute in others:
        result = compute(parameters, images, labels)
        for row in range(13):
            assert row_bits(result, row) == row_bits(expected, row)
    result = alone(parameters, images[4:5], labels[4:5])
    assert row_bits(result, 0) == row_bits(expected, 4)


#: Run in a process of its own: computes other things first, then says what bits it gets.
PROGRAM = """
from model.config import NetworkConfig
from workers.fingerprint import GOLDEN_NETWORKS, golden_digest
golden_digest(NetworkConfig(image_side=9, kernel_sizes=(2, 3), filters=2, microbatch_size=64))
golden_digest(NetworkConfig(microbatch_size=64))
print(*[golden_digest(network) for network in reversed(GOLDEN_NETWORKS)])
"""


def test_another_process_gets_the_same_bits_whatever_it_did_before() -> None:
    here = [golden_digest(network) for network in GOLDEN_NETWORKS]

    there = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert there.stdout.split() == here[::-1]
