"""The loss against 60-digit arithmetic, at its limits and where the seed's own formula holds."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapeworks.model.engine.runtime import tf
from tapeworks.model.images import one_hot
from tapeworks.model.networks.builtin.forward import binary_cross_entropy
from tests import reference_numpy

#: Two classes and five; equal ones; one dominating, near and far; all that float32 exp overflows.
LOGITS = [
    pytest.param([0.1, 0.3], id="ordinary"),
    pytest.param([0.0, 0.0], id="equal"),
    pytest.param([2.0] * 5, id="five equal"),
    pytest.param([-1000.0] * 3, id="three equal, far below 0"),
    pytest.param([1000.0, -1000.0], id="as far apart as ±1000"),
    pytest.param([1000.0, -1000.0, 1000.0, 0.0, 5.0], id="five, two of them at 1000"),
    pytest.param([-1000.0, -1000.0, -1000.0, -1000.0, 1000.0], id="five, one at 1000"),
    pytest.param([3.0, 1.5], id="one ahead"),
    pytest.param([20.0, 0.0, 1.0, 2.0, 3.0], id="five, one dominating"),
    pytest.param([30.0, 10.0], id="p rounds to 1 in float32"),
    pytest.param([1000.0, 990.0], id="large and near each other"),
    pytest.param([1000.0, 999.0, 998.5], id="three, large and near each other"),
    pytest.param([89.0, 88.0, -104.0], id="where float32 exp overflows and underflows"),
]


def _loss_and_slope(logits: Any, truth: Any) -> tuple[Any, Any]:
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = binary_cross_entropy(logits, truth)
    return losses, tape.gradient(losses, logits)


def loss_and_slope(logits: Sequence[Sequence[float]], truth: Any) -> tuple[Any, Any]:
    losses, slopes = _loss_and_slope(tf.constant(logits, tf.float32), tf.constant(truth))
    return losses.numpy(), slopes.numpy()


def compiled_loss_and_slope(logits: Sequence[Sequence[float]], truth: Any) -> tuple[Any, Any]:
    compute = tf.function(_loss_and_slope, jit_compile=True, autograph=False)
    losses, slopes = compute(tf.constant(logits, tf.float32), tf.constant(truth))
    return losses.numpy(), slopes.numpy()


def exact(logits: Sequence[float], true_class: int) -> tuple[float, list[float]]:
    """Loss and slope in 60 digits; 1 − p is the other classes' share, never a difference."""
    with decimal.localcontext(prec=60, Emin=-(10**6), Emax=10**6):
        powers = [Decimal(float(np.float32(logit))).exp() for logit in logits]
        total = sum(powers, Decimal(0))
        others = [sum(powers[:i] + powers[i + 1 :], Decimal(0)) for i in range(len(powers))]
        loss = Decimal(0)
        slope = [Decimal(0)] * len(powers)
        for i, rest in enumerate(others):
            p, not_p = powers[i] / total, rest / total
            own = i == true_class
            loss -= p.ln() if own else not_p.ln()
            by_p = -1 / p if own else 1 / not_p
            for k, power in enumerate(powers):
                slope[k] += by_p * (p * not_p if i == k else -p * power / total)
        return float(loss), [float(value) for value in slope]


@pytest.mark.parametrize("compute", [loss_and_slope, compiled_loss_and_slope])
@pytest.mark.parametrize("logits", LOGITS)
def test_loss_and_slope_are_exact_for_every_true_class(
    logits: list[float], compute: Callable[..., tuple[Any, Any]]
) -> None:
    truth = one_hot(np.arange(len(logits)), len(logits))

    losses, slopes = compute([logits] * len(logits), truth)

    assert np.isfinite(losses).all()
    assert np.isfinite(slopes).all()
    for true_class in range(len(logits)):
        loss, slope = exact(logits, true_class)
        assert losses[true_class] == pytest.approx(loss, rel=1e-6, abs=1e-37)
        np.testing.assert_allclose(
            slopes[true_class], slope, rtol=0, atol=1e-6 * np.abs(slope).max() + 1e-37
        )


def test_two_classes_with_equal_logits_cost_two_bits_and_pull_by_one() -> None:
    losses, slopes = loss_and_slope([[7.0, 7.0]], one_hot(np.array([1]), 2))

    assert losses[0] == pytest.approx(2 * np.log(2), rel=1e-7)
    assert slopes.tolist() == [[1.0, -1.0]]


def test_being_certain_and_wrong_costs_both_distances() -> None:
    losses, slopes = loss_and_slope([[1000.0, -1000.0]], one_hot(np.array([1]), 2))

    assert losses.tolist() == [4000.0]
    assert slopes.tolist() == [[2.0, -2.0]]


def test_being_certain_and_right_costs_nothing() -> None:
    losses, slopes = loss_and_slope([[1000.0, -1000.0]], one_hot(np.array([0]), 2))

    assert losses.tolist() == [0.0]
    assert slopes.tolist() == [[0.0, 0.0]]


@settings(max_examples=30, deadline=None)
@given(
    logits=st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=6),
    true_class=st.integers(0, 5),
)
def test_the_seeds_own_formula_gives_the_same_where_it_is_stable(
    logits: list[float], true_class: int
) -> None:
    truth = one_hot(np.array([true_class % len(logits)]), len(logits))
    expected = reference_numpy.loss(np.array(logits), truth[0])
    expected_slope = reference_numpy.loss_slope(np.array(logits), truth[0])

    losses, slopes = loss_and_slope([logits], truth)

    assert losses[0] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(
        slopes[0], expected_slope, rtol=0, atol=1e-5 * np.abs(expected_slope).max()
    )


@settings(max_examples=30, deadline=None)
@given(
    logits=st.lists(st.floats(-1000, 1000, width=32), min_size=2, max_size=5),
    true_class=st.integers(0, 4),
)
def test_no_logits_up_to_1000_overflow(logits: list[float], true_class: int) -> None:
    truth = one_hot(np.array([true_class % len(logits)]), len(logits))

    losses, slopes = loss_and_slope([logits], truth)

    expected, expected_slope = exact(logits, true_class % len(logits))
    assert np.isfinite(slopes).all()
    assert losses[0] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    # Two logits far below the largest are known to each other to float32's 6e-5 at 2000 only.
    np.testing.assert_allclose(slopes[0], expected_slope, rtol=0, atol=2e-4)


def test_each_image_has_its_own_loss() -> None:
    logits = [[0.5, -0.25, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 0.0]]
    truth = one_hot(np.array([0, 2, 1]), 3)

    losses, slopes = loss_and_slope(logits, truth)

    assert losses.shape == (3,)
    for row in range(3):
        alone, slope_alone = loss_and_slope([logits[row]], truth[[row]])
        assert losses[row] == pytest.approx(alone[0], rel=1e-6)
        np.testing.assert_allclose(slopes[row], slope_alone[0], rtol=1e-5, atol=1e-7)


def test_a_padded_row_without_a_true_class_stays_finite() -> None:
    losses, slopes = loss_and_slope([[0.0, 0.0]], np.zeros((1, 2), np.float32))

    assert np.isfinite(losses).all()
    assert np.isfinite(slopes).all()
