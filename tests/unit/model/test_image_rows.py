"""The same bits for an image whatever stands beside it (design, promise P1)."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tapeworks.model import fingerprint
from tapeworks.model.engine import gradients as model_gradients
from tapeworks.model.engine.gradients import (
    Engine,
    _computation,
    count_compiled_networks,
    engine,
)
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.errors import ArithmeticUnsound
from tapeworks.model.fingerprint import GOLDEN_NETWORKS, golden_digest
from tapeworks.model.images import normalise
from tapeworks.model.networks.builtin import layerwise
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, initial, to_bytes
from tests import reference_numpy
from tests.support.microbatches import SMALL, bright_images, drawn_images, labels_of, row_bits

EngineOf = Callable[[BuiltinNetwork], Engine]

#: Networks whose rows must not know of each other, nor of where they stand, and how many of their
#: images are computed: two calls of the layerwise unfolding, of which the second ends in a padded
#: group.
ROW_NETWORKS = {
    "the seed's": (BuiltinNetwork(), 150),
    "the seed's, ten classes": (BuiltinNetwork(class_count=10), 150),
    "eight filters": (
        BuiltinNetwork(image_side=28, kernel_sizes=(5, 5), filters=8, class_count=10),
        150,
    ),
    "small": (SMALL, 150),
    "small, full": (SMALL.model_copy(update={"unfolding": Unfolding.FULL}), 9),
}


class Images:
    """Drawn and bright images by turns, and their results."""

    def __init__(self, network: BuiltinNetwork, count: int, compute: Engine) -> None:
        self.network, self.count, self.compute = network, count, compute
        self.parameters = initial(network, seed=6)
        self.images = bright_images(count, network.image_side, seed=6)
        self.images[::2] = drawn_images(len(self.images[::2]), network.image_side, seed=6)
        self.labels = labels_of(count, network)
        self.given = self.parameters, self.images, self.labels
        self.result = self.of(range(count))
        self.bits = [row_bits(self.result, row) for row in range(count)]

    def of(
        self, rows: range | list[int], wanted: GradientForm = GradientForm.PER_IMAGE
    ) -> EngineResult:
        """The result of these images, in this order."""
        chosen = list(rows)
        return self.compute(self.parameters, self.images[chosen], self.labels[chosen], wanted)

    def assert_bits(self, rows: range | list[int]) -> None:
        """Check that these images, in this order, give the bits that they gave in their own."""
        result = self.of(rows)
        assert len(result.losses) == len(rows)
        for place, row in enumerate(rows):
            assert row_bits(result, place) == self.bits[row]


@pytest.fixture(scope="module", params=ROW_NETWORKS.values(), ids=list(ROW_NETWORKS))
def images(request: pytest.FixtureRequest, engine_of: EngineOf) -> Images:
    network, count = request.param
    return Images(network, count, engine_of(network))


def test_the_same_images_give_the_same_bits_again(images: Images) -> None:
    images.assert_bits(range(images.count))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 15, 16, 17, 25, 32, 33, 48, 64, 127, 128, 129, 144])
def test_the_number_of_images_changes_no_bit_of_an_image(images: Images, count: int) -> None:
    images.assert_bits(range(min(count, images.count)))
    images.assert_bits(range(images.count - min(count, images.count), images.count))


def test_neighbours_change_no_bit_of_an_image(images: Images) -> None:
    last = images.count - 1
    for row in (0, 1, last // 2, last):
        order = [last - other for other in range(images.count)]
        order[row] = row
        images.assert_bits(order)


@pytest.mark.parametrize("shift", [1, 2, 5, 16, 31])
def test_its_place_changes_no_bit_of_an_image(images: Images, shift: int) -> None:
    images.assert_bits([(row + shift) % images.count for row in range(images.count)])


@pytest.mark.parametrize("wanted", [GradientForm.SUMMED, GradientForm.NOTHING])
def test_what_is_wanted_changes_no_bit_of_losses_norms_and_predictions(
    images: Images, wanted: GradientForm
) -> None:
    result = images.of(range(images.count), wanted)

    for name in ("losses", "gradient_norms", "predictions"):
        assert getattr(result, name).tobytes() == getattr(images.result, name).tobytes()


# Sums


def assert_sums(images: Images, size: int) -> None:
    """Check the sums of microbatches of this size against Python's own additions."""
    compute = engine(images.network.model_copy(update={"microbatch_size": size}))
    sums = compute(images.parameters, images.images, images.labels, GradientForm.SUMMED).gradients
    assert list(sums) == list(images.network.shapes)
    for name, rows in images.result.gradients.items():
        parts = [rows[first : first + size] for first in range(0, images.count, size)]
        expected = np.stack([reference_numpy.microbatch_sum(part) for part in parts])
        assert sums[name].shape == expected.shape
        assert sums[name].tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [1, 2, 5, 13, 16, 48, 64, 100, 128, 149, 150, 1000])
def test_sums_are_made_in_image_order_whatever_the_size_of_a_microbatch(
    images: Images, size: int
) -> None:
    assert_sums(images, size)


def test_a_network_that_fills_its_calls_sooner_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, engine_of: EngineOf
) -> None:
    seeds = BuiltinNetwork()
    expected = Images(seeds, 50, engine_of(seeds))
    monkeypatch.setattr(layerwise, "CALL_BYTES", 1)  # room for one group
    compiled_anew = functools.cache(_computation.__wrapped__)
    monkeypatch.setattr(model_gradients, "_computation", compiled_anew)

    for size in (1, 7, 16, 40, 50):
        network = seeds.model_copy(update={"microbatch_size": size})
        sums, narrow = (
            engine_of(network)(*expected.given, GradientForm.SUMMED),
            engine.__wrapped__(network),
        )
        assert to_bytes(narrow(*expected.given).gradients) == to_bytes(expected.result.gradients)
        narrow_sums = narrow(*expected.given, GradientForm.SUMMED)
        assert to_bytes(narrow_sums.gradients) == to_bytes(sums.gradients)


def test_products_too_small_for_float32_are_zeros_in_both_forms(engine_of: EngineOf) -> None:
    # A logit is ±23 times the grey level: the slopes by logits are some 10⁻²⁰, features 10⁻¹⁹.
    network = BuiltinNetwork(image_side=1, kernel_sizes=(1,), filters=1, microbatch_size=1)
    parameters: Arrays = {
        "conv_1": np.full((1, 1, 1), 1e-19, np.float32),
        "dense_1": np.array([2.3e20, -2.3e20], np.float32).reshape(2, 1, 1, 1),
    }
    greys, labels = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1), np.zeros(256, np.int64)

    alone = engine_of(network)(parameters, greys, labels).gradients["dense_1"]
    summed = engine_of(network)(parameters, greys, labels, GradientForm.SUMMED).gradients["dense_1"]

    smallest = np.finfo(np.float32).tiny
    assert np.abs(alone[1:200]).min() > smallest
    assert 0 < np.count_nonzero(alone[200:] == 0) < alone[200:].size
    assert not np.any((alone != 0) & (np.abs(alone) < smallest))
    assert summed.tobytes() == (alone.astype(np.float64) + 0.0).tobytes()


def test_parameters_that_overflow_give_no_finite_norm_and_no_warning(engine_of: EngineOf) -> None:
    parameters = {name: np.full_like(array, 1e30) for name, array in initial(SMALL, 3).items()}

    result = engine_of(SMALL)(parameters, bright_images(3, 9), labels_of(3, SMALL))

    assert not np.isfinite(result.gradient_norms).any()


def test_grey_levels_become_the_float32_numbers_that_numpy_divides_to(engine_of: EngineOf) -> None:
    # Without a dense array both logits are 0 and their slopes ∓1: the features are to be seen.
    network = BuiltinNetwork(image_side=1, kernel_sizes=(1,), filters=1)
    parameters: Arrays = {
        "conv_1": np.ones((1, 1, 1), np.float32),
        "dense_1": np.zeros((2, 1, 1, 1), np.float32),
    }
    greys = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1)

    gradients = engine_of(network)(parameters, greys, np.zeros(256, np.int64)).gradients

    assert gradients["dense_1"][:, 1].ravel().tobytes() == normalise(greys).ravel().tobytes()


# Processes, and machines


def test_another_size_of_microbatches_compiles_nothing() -> None:
    engine(SMALL)
    before = count_compiled_networks()

    engine(SMALL.model_copy(update={"microbatch_size": 77}))

    assert count_compiled_networks() == before


#: Run in a process of its own: computes other things first, then says what bits it gets.
PROGRAM = """
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.fingerprint import GOLDEN_NETWORKS, golden_digest
golden_digest(BuiltinNetwork(image_side=9, kernel_sizes=(2, 3), filters=2, microbatch_size=64))
golden_digest(BuiltinNetwork(microbatch_size=64))
print(*[golden_digest(network) for network in reversed(GOLDEN_NETWORKS)])
"""


def test_another_process_gets_the_same_bits_whatever_it_did_before() -> None:
    here = [golden_digest(network) for network in GOLDEN_NETWORKS]

    there = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert there.stdout.split() == here[::-1]


def nudged(gradients: Arrays, row: int) -> Arrays:
    """The gradients with the last bit of one number changed."""
    array = gradients["conv_1"].copy()
    array[row, 0, 0, 0] = np.nextafter(array[row, 0, 0, 0], np.float32(1))
    return gradients | {"conv_1": array}


@pytest.mark.parametrize("spoilt", [GradientForm.PER_IMAGE, GradientForm.SUMMED])
def test_a_machine_whose_bits_depend_on_place_or_form_is_refused(
    spoilt: GradientForm, engine_of: EngineOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsound(network: BuiltinNetwork) -> Engine:
        def compute(
            parameters: Arrays,
            images: NDArray[np.uint8],
            labels: NDArray[np.integer],
            wanted: GradientForm = GradientForm.PER_IMAGE,
        ) -> EngineResult:
            result = engine_of(network)(parameters, images, labels, wanted)
            changed = nudged(result.gradients, 2) if wanted is spoilt else result.gradients
            return replace(result, gradients=changed)

        return compute

    monkeypatch.setattr(fingerprint, "engine", unsound)

    with pytest.raises(ArithmeticUnsound, match="would not be reproducible"):
        golden_digest(SMALL)
