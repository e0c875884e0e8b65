"""Values of other libraries as Python's own: NumPy's, pandas' and TensorFlow's, enumerations."""

from __future__ import annotations

import itertools
import math
import numbers
import os
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

#: Methods with which libraries give a value or an array in Python's own types, or come near it.
_METHODS = ("tolist", "numpy")

#: What is Python's own already and holds nothing else.
_PLAIN = (bool, int, float, str, bytes, type(None))

#: A decimal number above it is not made an integer: it may have a billion digits.
_LARGEST_EXACT = 2.0**64

#: Items taken of a range or an iterator, which may have no end: more than any setting may have.
_MOST_ITEMS = 1_000


def plain(value: Any) -> Any:
    """Return the value in Python's own types, its items too; what has no equal there, as it is."""
    if isinstance(value, list | tuple):
        return type(value)(map(_scalar, value)) if type(value) in (list, tuple) else value
    if isinstance(value, range | Iterator):
        return [_scalar(item) for item in itertools.islice(value, _MOST_ITEMS)]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if type(value) in _PLAIN or isinstance(value, type):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    return _number(_from_array(value))


def _from_array(value: Any) -> Any:
    for name in _METHODS:
        method = getattr(value, name, None)
        if callable(method):
            value = method()
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool | list):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, Decimal):
        return _from_decimal(value)
    try:
        return float(value) if isinstance(value, numbers.Real) else value
    except OverflowError:  # a fraction beyond all floats
        return value


def _from_decimal(value: Decimal) -> int | float:
    number = math.nan if value.is_snan() else float(value)
    is_whole = abs(number) < _LARGEST_EXACT and value == int(value)
    return int(value) if is_whole else number
