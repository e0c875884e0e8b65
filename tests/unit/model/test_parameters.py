"""Initial values, the assign update, and parameters as bytes."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.model.errors import ParametersError
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import (
    Arrays,
    all_finite,
    assign,
    bound,
    digest,
    from_bytes,
    history_digest,
    initial,
    to_bytes,
)

DEFAULT = BuiltinNetwork()
SMALL = BuiltinNetwork(image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3)

#: The seed document's bounds for its own network, and the same formulas for another.
BOUNDS = [
    (DEFAULT, "conv_1", math.sqrt(6 / (5 * 3 * 3 + 1))),
    (DEFAULT, "conv_2", math.sqrt(6 / (5 * 5 * 5 + 1))),
    (DEFAULT, "conv_3", math.sqrt(6 / (5 * 7 * 7 + 1))),
    (DEFAULT, "dense_1", math.sqrt(6 / (2 * 5 * (28 - 1 - 2 - 4 - 6) ** 2 + 2))),
    (SMALL, "conv_1", math.sqrt(6 / (2 * 2 * 2 + 1))),
    (SMALL, "conv_2", math.sqrt(6 / (2 * 3 * 3 + 1))),
    (SMALL, "dense_1", math.sqrt(6 / (3 * 2 * 6**2 + 3))),
]


def nearest_float32(value: Fraction) -> float:
    """The float32 nearest to an exact value, of two equally near ones the even."""
    guess = np.float32(float(value))
    candidates = [np.nextafter(guess, np.float32(-np.inf)), guess]
    candidates.append(np.nextafter(guess, np.float32(np.inf)))

    def distance(candidate: np.float32) -> tuple[Fraction, int]:
        return abs(Fraction(float(candidate)) - value), int(candidate.view(np.uint32)) & 1

    return float(min(candidates, key=distance))


# Initial values


@pytest.mark.parametrize(("network", "name", "limit"), BOUNDS)
def test_bounds_are_the_seeds_formulas(network: BuiltinNetwork, name: str, limit: float) -> None:
    assert bound(network, name) == pytest.approx(limit, rel=1e-15)


@pytest.mark.parametrize(("network", "name", "limit"), BOUNDS)
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_initial_values_fill_their_bounds_evenly(
    network: BuiltinNetwork, name: str, limit: float, seed: int
) -> None:
    values = initial(network, seed)[name]

    assert values.dtype == np.float32
    assert values.shape == network.shapes[name]
    assert np.abs(values).max() <= np.float32(limit)
    four_deviations = 4 * limit / math.sqrt(3 * values.size)
    assert abs(float(values.astype(np.float64).mean())) < four_deviations
    if values.size > 100:
        assert values.max() > 0.9 * limit
        assert values.min() < -0.9 * limit
        assert float(values.var()) == pytest.approx(limit**2 / 3, rel=0.25)


def test_initial_values_have_these_bits_on_every_machine_and_with_every_numpy() -> None:
    parameters = initial(DEFAULT, seed=0)

    content = hashlib.sha256()
    for name in ("conv_1", "conv_2", "conv_3", "dense_1"):
        content.update(name.encode() + parameters[name].astype("<f4").tobytes())

    assert content.hexdigest() == "31e51adc5db1ee3278b6f40ad81e0c8be7f8e21045b1a007eaf6f64a4304ec00"
    # Of the safetensors bytes: another value beside the same one above is another file format.
    assert (
        digest(to_bytes(parameters))
        == "86fdad40f720584b12a76d60470501481239cfa8989cf697102ed1fccddf19cd"
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    payloads = [to_bytes(initial(DEFAULT, seed)) for seed in (0, 0, 1, 2**32, 2**63 - 1)]

    assert payloads[0] == payloads[1]
    assert len(set(payloads)) == 4


def test_another_seed_changes_every_array() -> None:
    first, second = initial(DEFAULT, 0), initial(DEFAULT, 1)

    for name in DEFAULT.shapes:
        assert np.mean(first[name] == second[name]) < 0.01


def test_no_two_arrays_start_with_the_same_draw() -> None:
    parameters = initial(DEFAULT, 0)

    starts = [array.ravel()[:9] / bound(DEFAULT, name) for name, array in parameters.items()]
    for first, second in itertools.combinations(starts, 2):
        assert np.abs(first - second).max() > 0.01


# Assign


def test_assign_is_the_seeds_formula_with_each_operation_rounded_once() -> None:
    source = np.random.default_rng(8)
    value = (source.standard_normal(500) * 10.0 ** source.integers(-4, 2, 500)).astype(np.float32)
    slope = (source.standard_normal(500) * 10.0 ** source.integers(-4, 5, 500)).astype(np.float32)
    rate = 0.001

    updated = assign({"conv_1": value}, {"conv_1": slope}, rate)["conv_1"]

    assert updated.dtype == np.float32
    rate_32 = Fraction(nearest_float32(Fraction(rate)))
    for before, gradient, after in zip(
        value.tolist(), slope.tolist(), updated.tolist(), strict=True
    ):
        step = Fraction(nearest_float32(rate_32 * Fraction(gradient)))
        assert after == nearest_float32(Fraction(before) - step)


def test_assign_leaves_what_it_was_given_as_it_was() -> None:
    parameters, gradient = initial(SMALL, 0), initial(SMALL, 1)
    before = to_bytes(parameters), to_bytes(gradient)

    updated = assign(parameters, gradient, 0.5)

    assert (to_bytes(parameters), to_bytes(gradient)) == before
    assert list(updated) == list(parameters)
    assert all(not np.shares_memory(updated[name], parameters[name]) for name in parameters)


def test_assign_goes_down_the_slope() -> None:
    updated = assign(
        {"conv_1": np.array([1.0, 1.0], np.float32)},
        {"conv_1": np.array([2.0, -4.0], np.float32)},
        0.25,
    )

    assert updated["conv_1"].tolist() == [0.5, 2.0]


def test_an_overflowing_update_is_silent_and_not_finite() -> None:
    largest = np.array([3e38], np.float32)

    updated = assign({"conv_1": largest}, {"conv_1": -largest}, 1.0)

    assert not all_finite(updated)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_entry_that_is_not_finite_is_found(value: float) -> None:
    parameters = initial(SMALL, 0)
    assert all_finite(parameters)

    parameters["dense_1"][2, 1, 5, 5] = value

    assert not all_finite(parameters)


# Bytes and digests


def test_bytes_and_back_are_the_same_arrays() -> None:
    arrays: Arrays = initial(DEFAULT, 4) | {"sums": np.array([0.1, -0.0, 5e-324])}

    back = from_bytes(to_bytes(arrays))

    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


def test_arrays_that_do_not_lie_row_by_row_keep_their_values() -> None:
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T

    assert from_bytes(to_bytes({"a": transposed}))["a"].tolist() == transposed.tolist()


def test_a_digest_does_not_depend_on_the_order_of_names() -> None:
    parameters = initial(DEFAULT, 0)
    backwards = dict(reversed(parameters.items()))

    assert digest(to_bytes(backwards)) == digest(to_bytes(parameters))


def test_a_digest_sees_the_smallest_change_and_a_changed_name() -> None:
    parameters = initial(SMALL, 0)
    changed = {name: array.copy() for name, array in parameters.items()}
    changed["conv_1"][0, 0, 0] = np.nextafter(changed["conv_1"][0, 0, 0], np.float32(1))
    renamed = {name.replace("dense_1", "dense_2"): array for name, array in parameters.items()}

    assert len({digest(to_bytes(arrays)) for arrays in (parameters, changed, renamed)}) == 3


def test_a_digest_is_sha256_in_hexadecimal() -> None:
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_history_digest_sees_values_and_their_order() -> None:
    assert history_digest([1.0, 2.0]) == history_digest([1.0, 2.0])
    assert history_digest([1.0, 2.0]) != history_digest([2.0, 1.0])
    assert history_digest([1.0, 2.0]) != history_digest([1.0, math.nextafter(2.0, 3.0)])
    assert history_digest([1.0, 2.0]) == digest(to_bytes({"losses": np.array([1.0, 2.0])}))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_our_own_error(payload: bytes) -> None:
    with contextlib.suppress(ParametersError):
        assert isinstance(from_bytes(payload), dict)


@given(st.data())
def test_truncated_or_lengthened_bytes_are_refused(data: st.DataObject) -> None:
    payload = to_bytes(initial(SMALL, 0))
    length = data.draw(st.integers(0, len(payload) - 1))

    with pytest.raises(ParametersError, match="Expected safetensors bytes"):
        from_bytes(payload[:length])
    with pytest.raises(ParametersError, match="Expected safetensors bytes"):
        from_bytes(payload + b"\0")


def test_an_array_type_that_numpy_lacks_is_refused() -> None:
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'

    with pytest.raises(ParametersError, match="BF16"):
        from_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
