"""Parameters from a file: read, or refused with what was expected and what was there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapeworks.model import parameters as rooms_parameters
from tapeworks.model.errors import ParametersError
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.parameters import Arrays, initial, read_file, to_bytes, validate_parameters

SMALL = BuiltinNetwork(image_side=9, kernel_sizes=(2, 3), filters=2, class_count=3)


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
        validate_parameters(arrays, SMALL, "run 7")

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
