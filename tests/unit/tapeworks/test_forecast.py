"""The number of workers that `train` starts by itself, and what it says of it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tapeworks.cluster.forecast import Forecast
from tapeworks.model.config import run_config
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding

#: From one image to the whole of MNIST, in one iteration.
IMAGES = (1, 50, 64, 200, 2000, 9000, 60_000)

ITERATIONS = (1, 5, 50, 500, 100_000)


def forecast(cores: int, iterations: int = 50, **settings: Any) -> Forecast:
    return Forecast(config=run_config(settings), iterations=iterations, cores=cores)


def test_on_one_core_nothing_is_faster_than_one_process() -> None:
    for images, iterations in product(IMAGES, ITERATIONS):
        for unfolding in ("layerwise", "full"):
            one = forecast(1, iterations, images=images, unfolding=unfolding)
            assert one.choose_workers() == 0


@pytest.mark.parametrize("iterations", ITERATIONS)
def test_the_seeds_job_is_computed_in_process_whatever_its_length(iterations: int) -> None:
    for cores in (2, 4, 64):
        assert forecast(cores, iterations).choose_workers() == 0


def test_a_large_iteration_has_a_worker_on_every_core() -> None:
    for cores in (2, 3, 8):
        assert forecast(cores, images=9000).choose_workers() == cores


def test_a_fully_unfolded_network_pays_with_the_seeds_images() -> None:
    assert forecast(2, unfolding="full").choose_workers() == 2


def test_no_worker_is_started_that_would_have_no_microbatch() -> None:
    four = forecast(64, unfolding="full", images=50)
    assert four.choose_workers() == 4
    assert forecast(64, unfolding="full", images=16).choose_workers() == 0


def test_workers_that_pay_for_some_iterations_pay_for_more() -> None:
    for images, cores in product(IMAGES, (2, 8)):
        chosen = [bool(forecast(cores, n, images=images).choose_workers()) for n in ITERATIONS]
        assert chosen == sorted(chosen)


def test_what_is_chosen_is_never_slower_than_one_process_by_its_own_reckoning() -> None:
    for images, iterations, cores in product(IMAGES, ITERATIONS, (1, 2, 5, 64, 256)):
        one = forecast(cores, iterations, images=images)
        assert one.seconds(one.choose_workers()) <= one.seconds(0)


def test_every_images_gradient_of_a_large_iteration_is_not_worth_its_way() -> None:
    digits = tuple(range(10))
    assert forecast(2, images=9000, classes=digits, gradients="summed").choose_workers() == 2
    assert forecast(2, images=9000, classes=digits, gradients="per-image").choose_workers() == 0


@pytest.mark.parametrize("setting", [{"audit": 0.5}, {"shards": 7}])
def test_what_only_a_queue_can_do_is_given_one(setting: dict[str, Any]) -> None:
    for cores in (1, 2):
        asking = forecast(cores, **setting)
        assert asking.choose_workers() == cores
        assert asking.explain(None) is None
        assert asking.explain(2) is None


def test_the_sentence_says_how_little_there_is_to_do() -> None:
    one = forecast(2, 1, images=1)
    told = "Computing in this process: 2 workers would hardly be faster for 1 iteration of 1 image"
    assert one.explain(None) == told
    assert "1 worker would hardly be faster for 5,000 iterations of 50 images" in str(
        forecast(1, 5000).explain(None)
    )


def test_workers_that_were_asked_for_and_are_no_faster_are_named() -> None:
    assert forecast(2).explain(1) == (
        "1 worker is no faster than this process alone for 50 iterations of 50 images; "
        "leave out --workers to compute without them"
    )
    assert str(forecast(2).explain(2)).startswith("2 workers are no faster")
    assert str(forecast(1, images=9000).explain(4)).startswith("4 workers are no faster")


def test_nothing_is_said_of_workers_that_pay_or_of_a_process_that_was_asked_for() -> None:
    large = forecast(2, images=9000)
    assert large.explain(None) is None
    assert large.explain(2) is None
    assert forecast(2).explain(0) is None


def test_the_arithmetic_of_the_default_network_is_that_of_the_documents() -> None:
    assert BuiltinNetwork().multiply_adds == 393_750
    network = BuiltinNetwork(image_side=4, kernel_sizes=(2,), filters=1)
    # 3 × 3 places of 2 × 2 patches, forward and for the filter; thrice a dense array of 2 × 9.
    assert network.multiply_adds == 2 * 9 * 4 + 3 * 18


def test_the_full_unfolding_takes_hundreds_of_times_longer() -> None:
    full = BuiltinNetwork(unfolding=Unfolding.FULL).image_seconds
    assert full > 100 * BuiltinNetwork().image_seconds
