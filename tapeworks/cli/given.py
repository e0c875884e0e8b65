"""Reads what a program or a command line gives: each kind of value in one place, one sentence each.

Values of NumPy, pandas and other libraries count as what they are equal to. Every function raises
`InvalidValue` for what it cannot read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from sqlalchemy import URL

from tapeworks.errors import InvalidValue
from tapeworks.model.plain import plain
from tapeworks.storage.records import HIGHEST_PRIORITY, LOWEST_PRIORITY, RunStatus

#: Of a whole number for which there is no other bound: what a database holds.
LARGEST = 2**63 - 1

#: Characters of a text that is read as a number.
_LONGEST_NUMBER = 100

#: Values by key, to find a run by.
Tags = Mapping[str, str | int | float]

_Read = TypeVar("_Read")


class Noted(TypedDict, total=False):
    """The words that a run is remembered and found by."""

    name: str | None
    tags: Tags
    note: str | None


class Described(Noted, total=False):
    """The description of a run beside its configuration."""

    priority: int


def read_optional(read: Callable[[str, Any], _Read], name: str, value: Any) -> _Read | None:
    """Return None as it is, anything else as `read` gives it."""
    return None if value is None else read(name, value)


def read_whole(name: str, value: Any, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number between the bounds, which may be written as text or as 2.0."""
    number = _whole(plain(value))
    if number is None or not least <= number <= most:
        is_open = most == LARGEST and not (number and number > most)
        bounds = f"of {least} or more" if is_open else f"from {least} to {most}"
        raise InvalidValue(f"a whole number {bounds}", name, value)
    return number


def read_priority(name: str, value: Any) -> int:
    """Return a run's place in the queue."""
    return read_whole(name, value, LOWEST_PRIORITY, HIGHEST_PRIORITY)


def read_count(name: str, value: Any) -> int:
    """Return a whole number of 1 or more."""
    return read_whole(name, value, 1)


def read_number(name: str, value: Any, least: float, most: float) -> float:
    """Return a number between the bounds, both of which may be infinite."""
    number = _number(plain(value))
    if not least <= number <= most:
        bounds = "" if math.isinf(most) else f" from {least:g} to {most:g}"
        raise InvalidValue(f"a number{bounds}", name, value)
    return number


def read_seconds(name: str, value: Any) -> float:
    """Return how long to wait: not at all where the time is over, without end where infinite."""
    return max(read_number(name, value, -math.inf, math.inf), 0.0)


def read_truth(name: str, value: Any) -> bool:
    """Return True or False, and take no other value for either."""
    truth = plain(value)
    if not isinstance(truth, bool):
        raise InvalidValue("True or False", name, value)
    return truth


def read_text(name: str, value: Any) -> str:
    """Return text as Python's own."""
    if not isinstance(value, str):
        raise InvalidValue("text", name, value)
    return str.__str__(value)


def read_words(_name: str, value: Any) -> Any:
    """Return text as Python's own, anything else as it is: storage has a sentence for it."""
    return _words(value)


def read_path(name: str, value: Any) -> Path:
    """Return a path, given as text, bytes or any kind of path; `~` is the home directory."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise InvalidValue("a path", name, value)
    text = os.fsdecode(value)
    if not text or "\0" in text:
        raise InvalidValue("a path", name, value)
    return Path(os.path.expanduser(text))  # noqa: PTH111 - it is no error to have no home


def read_mapping(name: str, value: Any, example: str = "{'seed': 1}") -> dict[Any, Any]:
    """Return values by name, from a mapping or from what is made of one, as a pandas series is."""
    if not hasattr(value, "keys"):
        raise InvalidValue(f"values by name, such as {example}", name, value)
    return dict(value)


def read_described(**described: Unpack[Described]) -> dict[str, Any]:
    """Return those of a run's name, tags, note and priority that are given."""
    return _read_each(
        {"name": read_words, "tags": read_tags, "note": read_words, "priority": read_priority},
        described,
    )


def read_noted(**noted: Unpack[Noted]) -> dict[str, Any]:
    """Return those of a run's name, tags and note that are given."""
    return _read_each({"name": read_words, "tags": read_tags, "note": read_words}, noted)


def _read_each(
    readers: Mapping[str, Callable[[str, Any], Any]], given: Mapping[str, Any]
) -> dict[str, Any]:
    for name in given.keys() - readers.keys():
        raise InvalidValue(f"one of {', '.join(readers)}", "argument", name)
    return {name: readers[name](name, value) for name, value in given.items()}


def read_tags(name: str, value: Any) -> dict[Any, Any]:
    """Return a run's tags; a number counts as its text, as it does on a command line."""
    return {
        _words(key): _tag(tag)
        for key, tag in read_mapping(name, value, "{'night': 'monday'}").items()
    }


def read_statuses(name: str, value: Any) -> list[RunStatus]:
    """Return one status, or several in a collection, each of which may be text."""
    items = [value] if isinstance(value, str | bytes) or not _is_iterable(value) else list(value)
    return [_status(name, item) for item in items]


def _status(name: str, value: Any) -> RunStatus:
    try:
        return RunStatus(plain(value))
    except (ValueError, TypeError) as error:
        raise InvalidValue(f"{', '.join(RunStatus)} or several of them", name, value) from error


def _words(value: Any) -> Any:
    return str.__str__(value) if isinstance(value, str) else value


def _tag(value: Any) -> Any:
    tag = plain(value)
    is_number = isinstance(tag, int | float) and not isinstance(tag, bool)
    return str(tag) if is_number else _words(value)


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
            return int(value)
        return int(value) if isinstance(value, int | float) and value == int(value) else None
    except (ValueError, OverflowError):  # no number, NaN, infinite
        return None


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _is_iterable(value: Any) -> bool:
    try:
        iter(value)
    except TypeError:
        return False
    return True


def read_address(place: Any) -> str | Path:
    """Return the URL or path of a database; text may be either, and is read as a variable's.

    A `sqlalchemy.URL` keeps its password, which its own text hides.
    """
    if isinstance(place, URL):
        return place.render_as_string(hide_password=False)
    if not isinstance(place, str | bytes | os.PathLike):  # not shown: it may hold a password
        raise InvalidValue("the URL or path of a database", "database_url", type(place))
    text = os.fsdecode(place)
    if "://" in text or (text and isinstance(place, str)):
        return text
    return read_path("database_url", text)
