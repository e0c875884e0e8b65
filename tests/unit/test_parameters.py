"""Initial values, the assign update, and parameters as bytes and as files."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import parameters as rooms_parameters
from model.config import NetworkConfig
from model.errors import ParametersError
from model.parameters import (
    Arrays,
    all_finite,
    assign,
    bound,
    checked,
    digest,
    from_bytes,
    history_digest,
    initial,
    read_file,
    to_bytes,
)

DEFAULT = NetworkConfig()
SMALL = NetworkConfig(image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3)

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
def test_bounds_are_the_seeds_formulas(network: NetworkConfig, name: str, limit: float) -> None:
    assert bound(network, name) == pytest.approx(limit, rel=1e-15)


@pytest.mark.parametrize(("network", "name", "limit"), BOUNDS)
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_initial_values_fill_their_bounds_evenly(
    network: NetworkConfig, name: str, limit: float, seed: int
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


# Given parameters


def test_a_file_of_parameters_is_read_in_the_networks_order(tmp_path: Path) -> None:
    parameters = initial(SMALL, 5)
    path = tmp_path / "given.safetensors"
    path.write_bytes(to_bytes(dict(reversed(parameters.items()))))

    read = read_file(path, SMALL)

    assert list(read) == ["conv_1", "conv_2", "dense_1"]
    assert to_bytes(read) == to_bytes(parameters)


def without_dense(arrays: Arrays) -> None:
    del arrays["dense_1"]


def with_a_fourth(arrays: Arrays) -> None:
    arrays["conv_9"] = np.zeros(1, np.float32)


def renamed(arrays: Arrays) -> None:
    arrays["weights"] = arrays.pop("conv_1")


def emptied(arrays: Arrays) -> None:
    arrays.clear()


def of_another_shape(arrays: Arrays) -> None:
    arrays["conv_2"] = arrays["conv_2"][:, :2]


def with_another_axis(arrays: Arrays) -> None:
    arrays["conv_1"] = arrays["conv_1"][np.newaxis]


def of_float64(arrays: Arrays) -> None:
    arrays["dense_1"] = arrays["dense_1"].astype(np.float64)


def of_whole_numbers(arrays: Arrays) -> None:
    arrays["conv_1"] = arrays["conv_1"].astype(np.int32)


def with_nan(arrays: Arrays) -> None:
    arrays["conv_2"][1, 2, 2] = np.nan


def with_infinity(arrays: Arrays) -> None:
    arrays["dense_1"][0, 0, 0, 0] = -np.inf


REFUSED: list[tuple[Callable[[Arrays], None], str]] = [
    (
        without_dense,
        "expected the arrays conv_1, conv_2, dense_1. Received: conv_1, conv_2.",
    ),
    (
        with_a_fourth,
        "expected the arrays conv_1, conv_2, dense_1. Received: conv_1, conv_2, conv_9, dense_1.",
    ),
    (renamed, "expected the arrays conv_1, conv_2, dense_1. Received: conv_2, dense_1, weights."),
    (emptied, "expected the arrays conv_1, conv_2, dense_1. Received: none."),
    (
        of_another_shape,
        "expected conv_2 to be float32 of shape (2, 3, 3). Received: float32 of shape (2, 2, 3).",
    ),
    (
        with_another_axis,
        (
            "expected conv_1 to be float32 of shape (2, 2, 2). "
            "Received: float32 of shape (1, 2, 2, 2)."
        ),
    ),
    (
        of_float64,
        (
            "expected dense_1 to be float32 of shape (3, 2, 6, 6). "
            "Received: float64 of shape (3, 2, 6, 6)."
        ),
    ),
    (
        of_whole_numbers,
        "expected conv_1 to be float32 of shape (2, 2, 2). Received: int32 of shape (2, 2, 2).",
    ),
    (with_nan, "conv_2 holds a NaN or an infinity."),
    (with_infinity, "dense_1 holds a NaN or an infinity."),
]


@pytest.mark.parametrize(("spoil", "sentence"), REFUSED)
def test_parameters_of_another_network_are_refused_with_what_was_expected(
    spoil: Callable[[Arrays], None], sentence: str, tmp_path: Path
) -> None:
    arrays = initial(SMALL, 0)
    spoil(arrays)
    path = tmp_path / "given.safetensors"
    path.write_bytes(to_bytes(arrays))

    with pytest.raises(ParametersError) as from_file:
        read_file(path, SMALL)
    with pytest.raises(ParametersError) as from_memory:
        checked(arrays, SMALL, "run 7")

    assert str(from_file.value) == f"{path}: {sentence}"
    assert str(from_memory.value) == f"run 7: {sentence}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing.safetensors"

    with pytest.raises(ParametersError) as refusal:
        read_file(path, SMALL)

    assert str(refusal.value) == f"{path} cannot be read: No such file or directory."


def test_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParametersError) as refusal:
        read_file(tmp_path, SMALL)

    assert str(refusal.value) == f"{tmp_path} cannot be read: Is a directory."


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04K\x01.", b"PK\x03\x04 an .npz file", to_bytes(initial(SMALL, 0))[:-1]],
    ids=["empty", "pickle", "npz", "truncated"],
)
def test_a_file_of_something_else_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "given.safetensors"
    path.write_bytes(content)

    with pytest.raises(ParametersError) as refusal:
        read_file(path, SMALL)

    assert str(refusal.value).startswith(f"{path} is not a safetensors file: ")


def test_an_enormous_file_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "given.safetensors"
    path.write_bytes(bytes(101))
    monkeypatch.setattr(rooms_parameters, "LARGEST_FILE_BYTES", 100)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("it was read"))

    with pytest.raises(ParametersError) as refusal:
        read_file(path, SMALL)

    assert str(refusal.value) == f"{path} is larger than 100 bytes."
