"""The initial parameters that a user's function draws, held against the contract."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.spec import (
    LONGEST_NAME,
    MOST_ARRAYS,
    MOST_DIMENSIONS,
    MOST_PARAMETERS,
    RESERVED_NAMES,
)
from tapeworks.model.parameters import Arrays, all_finite, digest, to_bytes

#: Arrays whose sizes a sentence shows.
MOST_SHOWN = 4


def validate_drawn(drawn: Any) -> Arrays:
    """The arrays, if a network may train them. Raises `Refusal`."""
    if not isinstance(drawn, dict):
        raise Refusal(
            f"Expected a dict of NumPy arrays by name from parameters. Received: {_kind(drawn)}."
        )
    if not 0 < len(drawn) <= MOST_ARRAYS:
        raise Refusal(
            f"Expected 1 to {MOST_ARRAYS} arrays from parameters. Received: {len(drawn)}."
        )
    for name, array in drawn.items():
        _check_name(name)
        _check_array(name, array)
    check_count({name: array.shape for name, array in drawn.items()})
    for name, array in drawn.items():
        if not all_finite({name: array}):
            raise Refusal(f"Expected finite parameters. Received: a NaN or an infinity in {name}.")
    return drawn


def draw_digest(drawn: Arrays) -> str:
    """Digest of the arrays and of the order of their names."""
    return digest(to_bytes(drawn) + "\n".join(drawn).encode())


def check_count(shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise `Refusal`, with the arithmetic, for more parameters than an answer has room for."""
    counts = {name: math.prod(shape) for name, shape in shapes.items()}
    total = sum(counts.values())
    if total <= MOST_PARAMETERS:
        return
    largest = sorted(counts, key=lambda name: -counts[name])[:MOST_SHOWN]
    terms = [f"{name} {_product(shapes[name])}{counts[name]:,}" for name in largest]
    others = total - sum(counts[name] for name in largest)
    terms += [f"others {others:,}"] if others else []
    raise Refusal(
        f"Expected at most {MOST_PARAMETERS:,} parameters, whose gradient's sum makes "
        f"{_megabytes(MOST_PARAMETERS)} of an answer. Received: {' + '.join(terms)} = {total:,}, "
        f"which would make {_megabytes(total)}."
    )


def _check_name(name: Any) -> None:
    if name in RESERVED_NAMES:
        raise Refusal(f"Expected another name of an array than {name}, which results have.")
    is_name = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and "\0" not in name
    if not is_name or any("\ud800" <= sign <= "\udfff" for sign in name):
        raise Refusal(
            f"Expected the name of each array to be text of 1 to {LONGEST_NAME} characters. "
            f"Received: {name!r:.80}."
        )


def _check_array(name: str, array: Any) -> None:
    if type(array) is not np.ndarray:
        raise Refusal(f"Expected {name} to be a NumPy array. Received: {_kind(array)}.")
    if array.dtype != np.float32:
        raise Refusal(
            f"Expected {name} to be float32, as .astype(np.float32) makes it. "
            f"Received: {array.dtype}."
        )
    if array.ndim > MOST_DIMENSIONS or not array.size:
        raise Refusal(
            f"Expected {name} to have at most {MOST_DIMENSIONS} dimensions, none of them 0. "
            f"Received: shape {array.shape}."
        )


def _product(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{side:,}" for side in shape) + " = " if len(shape) > 1 else ""


def _megabytes(count: int) -> str:
    return f"{8 * count / 1e6:,.1f} MB"


def _kind(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"
