"""The learning rate of every iteration, to the last bit."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.update import learning_rate
from tapeworks.model.update_config import Schedule

#: Fifty digits of π.
PI = Fraction(314159265358979323846264338327950288419716939937510, 10**50)


def rates(**values: Any) -> list[float]:
    config = run_config(values)
    return [learning_rate(config, iteration) for iteration in range(config.iterations)]


@given(rate=st.floats(1e-30, 1e30), iteration=st.integers(0, 99))
def test_a_constant_rate_is_the_configured_one_to_the_bit(rate: float, iteration: int) -> None:
    config = RunConfig(learning_rate=rate, iterations=100)

    assert learning_rate(config, iteration).hex() == rate.hex()


def test_a_linear_rate_falls_evenly_and_would_be_the_final_one_after_the_last_iteration() -> None:
    assert rates(schedule="linear", learning_rate=1.0, iterations=4) == [1.0, 0.75, 0.5, 0.25]
    falling = {"schedule": "linear", "learning_rate": 1.0, "final_learning_rate": 0.5}
    assert rates(**falling, iterations=4) == [1.0, 0.875, 0.75, 0.625]


def test_a_rate_may_also_rise_to_the_final_one() -> None:
    rising = {"schedule": "linear", "learning_rate": 0.25, "final_learning_rate": 1.25}
    assert rates(**rising, iterations=4) == [0.25, 0.5, 0.75, 1.0]


def test_a_cosine_falls_slowly_then_fast_then_slowly() -> None:
    found = rates(schedule="cosine", learning_rate=1.0, iterations=4)

    assert found == pytest.approx([1.0, 0.85355339059327, 0.5, 0.14644660940673], abs=1e-13)
    assert found[2] == 0.5


def test_a_warm_up_rises_evenly_to_the_rate_and_the_schedule_begins_after_it() -> None:
    warm = {"learning_rate": 1.0, "warmup_iterations": 4, "iterations": 8}

    assert rates(**warm) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert rates(**warm, schedule="linear") == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert rates(**warm, schedule="cosine")[3:5] == [1.0, 1.0]


@given(
    rate=st.floats(1e-6, 10),
    final=st.floats(0, 10),
    iterations=st.integers(1, 10_000),
    data=st.data(),
)
def test_a_cosine_is_that_of_the_mathematics_library(
    rate: float, final: float, iterations: int, data: st.DataObject
) -> None:
    iteration = data.draw(st.integers(0, iterations - 1))
    config = RunConfig(
        schedule=Schedule.COSINE,
        learning_rate=rate,
        final_learning_rate=final,
        iterations=iterations,
    )
    expected = final + (rate - final) * (1 + math.cos(math.pi * iteration / iterations)) / 2

    assert learning_rate(config, iteration) == pytest.approx(
        expected, rel=0, abs=1e-15 * max(rate, final, 1)
    )


@pytest.mark.parametrize("iterations", [7, 50, 1001])
def test_a_cosine_is_the_exact_value_rounded_once(iterations: int) -> None:
    """Against Taylor's series in fractions, where nothing is rounded before the end."""
    config = RunConfig(schedule=Schedule.COSINE, learning_rate=0.1, iterations=iterations)
    for iteration in range(0, iterations, 13):
        square = (PI * iteration / iterations) ** 2
        terms = (
            (-square) ** half / math.factorial(2 * half)
            for half in range(26)  # π⁵² / 52! < 10⁻⁴¹
        )
        exact = Fraction(0.1) * (1 + sum(terms)) / 2

        assert learning_rate(config, iteration) == float(exact)


def test_no_bit_depends_on_how_others_use_decimals() -> None:
    values = {"schedule": "cosine", "iterations": 20, "warmup_iterations": 3}
    expected = rates(**values)

    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        assert rates(**values) == expected


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_every_rate_moves_the_parameters(schedule: str) -> None:
    found = rates(schedule=schedule, iterations=500, learning_rate=0.01)

    assert all(rate > 0 for rate in found)
    assert found == sorted(found, reverse=True)
