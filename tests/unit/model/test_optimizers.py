"""The optimizers: to the bit what plain loops give, and what their papers say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.errors import ParametersError
from tapeworks.model.parameters import Arrays, all_finite, assign, from_bytes, to_bytes
from tapeworks.model.update import direction, initial_state, read_state, state_bytes
from tests.reference_optimizers import Adam, Momentum, moved

SMALL = {"image_side": 6, "kernel_sizes": (3,), "filters": 1}
MOMENTUM = SMALL | {"optimizer": "momentum", "momentum": 0.8}
ADAM = SMALL | {"optimizer": "adam", "adam_beta_1": 0.85, "adam_beta_2": 0.99, "adam_epsilon": 1e-3}

#: Far more than the decimals of float32, so that roundings of any kind are seen.
MAGNITUDES = (-12, 4)


def gradients(config: RunConfig, count: int) -> list[Arrays]:
    """Made-up mean gradients of very different sizes, some of them 0."""
    source = np.random.default_rng(5)

    def numbers(shape: tuple[int, ...]) -> Any:
        sizes = 10.0 ** source.integers(*MAGNITUDES, shape) * (source.random(shape) > 0.1)
        return (source.standard_normal(shape) * sizes).astype(np.float32)

    shapes = config.spec.shapes.items()
    return [{name: numbers(shape) for name, shape in shapes} for _ in range(count)]


def trained(config: RunConfig, updates: list[Arrays]) -> tuple[Arrays, Arrays]:
    """Parameters that began at 1, and the state, after these mean gradients."""
    state = initial_state(config)
    parameters: Arrays = {
        name: np.ones(shape, np.float32) for name, shape in config.spec.shapes.items()
    }
    for gradient in updates:
        towards, state = direction(config, state, gradient)
        parameters = assign(parameters, towards, config.learning_rate)
    return parameters, state


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        (MOMENTUM, lambda: Momentum(0.8)),
        (ADAM, lambda: Adam(0.85, 0.99, 1e-3)),
        (SMALL | {"optimizer": "adam"}, lambda: Adam(0.9, 0.999, 1e-8)),
    ],
    ids=["momentum", "adam", "adam's defaults"],
)
def test_every_bit_is_that_of_plain_loops(
    values: dict[str, Any], reference: Callable[[], Momentum | Adam]
) -> None:
    config = run_config(values)
    updates = gradients(config, 20)

    parameters, _ = trained(config, updates)

    for name, array in parameters.items():
        assert array.dtype == np.float32
        for place in np.ndindex(array.shape):
            one, parameter = reference(), 1.0
            for update in updates:
                parameter = moved(
                    parameter, one.towards(float(update[name][place])), config.learning_rate
                )
            assert float(array[place]) == parameter, (name, place)


def test_plain_sgd_takes_the_gradient_as_it_is_and_remembers_nothing() -> None:
    config = run_config(SMALL)
    [gradient] = gradients(config, 1)

    towards, state = direction(config, initial_state(config), gradient)

    assert towards is gradient
    assert state == initial_state(config) == {}
    assert state_bytes(state) is None


def test_momentum_adds_up_a_gradient_that_stays() -> None:
    config = run_config(SMALL | {"optimizer": "momentum", "momentum": 0.5})
    gradient = {name: np.full(s, 2.0, np.float32) for name, s in config.spec.shapes.items()}

    state, seen = initial_state(config), []
    for _ in range(4):
        towards, state = direction(config, state, gradient)
        seen.append(towards["conv_1"][0, 0, 0])

    assert seen == [2.0, 3.0, 3.5, 3.75]


def test_adam_is_the_papers_formula() -> None:
    """m̂ / (√v̂ + ε) with the sums written out, in float64."""
    config = run_config(ADAM)
    updates = gradients(config, 12)

    state = initial_state(config)
    for count, update in enumerate(updates, start=1):
        towards, state = direction(config, state, update)
        for name, array in towards.items():
            seen = [gradient[name].astype(np.float64) for gradient in updates[:count]]
            ages = range(count - 1, -1, -1)
            mean = sum(0.15 * 0.85**age * g for age, g in zip(ages, seen, strict=True))
            squares = sum(0.01 * 0.99**age * g**2 for age, g in zip(ages, seen, strict=True))
            expected = mean / (1 - 0.85**count) / (np.sqrt(squares / (1 - 0.99**count)) + 1e-3)
            np.testing.assert_allclose(array, expected, rtol=2e-5, atol=1e-6)


def test_adams_first_update_has_the_size_of_the_learning_rate_whatever_the_gradients() -> None:
    config = run_config(SMALL | {"optimizer": "adam", "learning_rate": 0.01})
    gradient: Arrays = {
        name: np.full(shape, -1e-3, np.float32) for name, shape in config.spec.shapes.items()
    }

    parameters, _ = trained(config, [gradient])

    for array in parameters.values():
        np.testing.assert_allclose(array, 1.01, rtol=1e-5)


@pytest.mark.parametrize("values", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_neither_the_state_nor_the_gradient_is_changed(values: dict[str, Any]) -> None:
    config = run_config(values)
    first, second = gradients(config, 2)
    _, state = trained(config, [first])
    before = to_bytes(state), to_bytes(second)

    direction(config, state, second)

    assert (to_bytes(state), to_bytes(second)) == before


@pytest.mark.parametrize("values", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_training_goes_on_from_stored_bytes_to_the_same_bits(values: dict[str, Any]) -> None:
    config = run_config(values)
    updates = gradients(config, 6)
    parameters, state = trained(config, updates[:3])

    for gradient in updates[3:]:
        payload = state_bytes(state)
        assert payload is not None
        towards, state = direction(config, read_state(config, payload), gradient)
        parameters = assign(parameters, towards, config.learning_rate)

    expected, last = trained(config, updates)
    assert to_bytes(parameters) == to_bytes(expected)
    assert state_bytes(state) == state_bytes(last)


def test_what_is_remembered_is_float32_and_named_after_the_parameters() -> None:
    config = run_config(ADAM)
    _, state = trained(config, gradients(config, 3))

    stored = from_bytes(to_bytes(state))

    assert sorted(stored) == [
        "beta_1_power",
        "beta_2_power",
        "conv_1.mean",
        "conv_1.mean_of_squares",
        "dense_1.mean",
        "dense_1.mean_of_squares",
    ]
    assert stored["beta_1_power"].tolist() == [0.85 * 0.85 * 0.85]
    assert math.isclose(stored["beta_2_power"][0], 0.99**3, rel_tol=1e-15)
    for name, shape in config.spec.shapes.items():
        for kind in ("mean", "mean_of_squares"):
            array = stored[f"{name}.{kind}"]
            assert array.dtype == np.float32
            assert array.shape == shape


@pytest.mark.parametrize("values", [MOMENTUM, ADAM], ids=["momentum", "adam"])
def test_a_state_that_overflows_is_silent_and_not_finite(values: dict[str, Any]) -> None:
    config = run_config(values)
    huge: Arrays = {
        name: np.full(shape, 3e38, np.float32) for name, shape in config.spec.shapes.items()
    }

    parameters, state = trained(config, [huge, huge])

    assert not all_finite(parameters | state)


def _without_conv_1(state: Arrays) -> Arrays:
    return {name: array for name, array in state.items() if "conv_1" not in name}


@pytest.mark.parametrize(
    ("values", "payload"),
    [
        (MOMENTUM, None),
        (MOMENTUM, to_bytes(initial_state(run_config(ADAM)))),
        (MOMENTUM, to_bytes(_without_conv_1(initial_state(run_config(MOMENTUM))))),
        (MOMENTUM, b"nonsense"),
        (ADAM, to_bytes(initial_state(run_config(ADAM)) | {"conv_1.mean": np.zeros((1, 3, 3))})),
        (
            ADAM,
            to_bytes(
                initial_state(run_config(ADAM)) | {"conv_1.mean": np.zeros((1, 2, 2), np.float32)}
            ),
        ),
        (ADAM, to_bytes(initial_state(run_config(ADAM)) | {"beta_1_power": np.array([np.nan])})),
        (SMALL, to_bytes(initial_state(run_config(MOMENTUM)))),
    ],
    ids=["none", "adam's", "not all", "no bytes", "float64", "shape", "nan", "of plain sgd"],
)
def test_what_the_optimizer_cannot_have_left_behind_is_refused(
    values: dict[str, Any], payload: bytes | None
) -> None:
    with pytest.raises(ParametersError, match=r"^Expected .*\. Received: .*\.$"):
        read_state(run_config(values), payload)


def test_nothing_is_what_plain_sgd_left_behind() -> None:
    assert read_state(run_config(SMALL), None) == {}
