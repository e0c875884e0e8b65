"""Mutations of bytes, of JSON and of safetensors, drawn by hypothesis."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

#: Written into JSON as they stand: no Python value is dumped to them.
RAW = {
    "@deep list@": "[" * 20_000 + "]" * 20_000,
    "@deep object@": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "@long number@": "9" * 5_000,
    "@half@": '"\\ud800"',
    "@many@": "[" + "[]," * 200_000 + "[]]",
    "@not closed@": "[",
}

#: What readers stumble over.
ODD: list[Any] = [
    *RAW,
    *(None, True, False, -1, 0, 1, 2**31 - 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**300),
    *(0.5, -0.0, 1e6, 1e308, 1.7e308, float("nan"), float("inf"), 1e-320),
    *(
        "",
        " ",
        "\0",
        "\n",
        "\x1b[2J",
        "é\u202e\U0001f600",
        "=1+1",
        "../../etc",
        "0" * 64,
        "a" * 401,
    ),
    *(
        "x" * 70_000,
        "done",
        "failed",
        "per-image",
        "celery.group",
        "application/x-python-serialize",
    ),
    *([], {}, [[]], [0], {"": 0}, [None] * 50),
]

#: Positions, taken modulo what is there.
PLACES = st.integers(0, 2**31)


def mutated_bytes(draw: Draw, data: bytes, other: bytes = b"") -> bytes:
    """One to three changes somewhere in the bytes."""
    for _ in range(draw(st.integers(1, 3))):
        change = draw(st.sampled_from(BYTE_CHANGES))
        data = change(draw, data, draw(PLACES) % (len(data) + 1), other)
    return data


def _flipped(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    bit: int = 1 << draw(st.integers(0, 7))
    return data[:at] + bytes(byte ^ bit for byte in data[at : at + 1]) + data[at + 1 :]


def _cut(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    return data[:at]


def _without(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    end: int = at + draw(st.integers(1, 64))
    return data[:at] + data[end:]


def _doubled(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    end: int = at + draw(st.integers(1, 4096))
    return data[:end] + data[at:end] + data[end:]


def _inserted(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    more: bytes = draw(st.binary(min_size=1, max_size=32))
    return data[:at] + more + data[at:]


def _spliced(draw: Draw, data: bytes, at: int, other: bytes) -> bytes:
    return data[:at] + other[draw(PLACES) % (len(other) + 1) :]


def _overwritten(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    filler: bytes = draw(st.sampled_from([b"\0", b"\xff", b'"', b"\\", b"9", b"["]))
    count: int = draw(st.integers(1, 256))
    return data[:at] + filler * count + data[at + count :]


def _wrong_length(draw: Draw, data: bytes, at: int, _: bytes) -> bytes:
    """Replace the first eight bytes, where safetensors has the length of its header."""
    size: int = draw(st.sampled_from([0, 1, 8, len(data), 2**31, 2**40, 2**63, 2**64 - 1]))
    return size.to_bytes(8, "little") + data[8:]


BYTE_CHANGES = [
    _flipped,
    _flipped,
    _cut,
    _without,
    _doubled,
    _inserted,
    _spliced,
    _overwritten,
    _wrong_length,
]


def mutated_json(draw: Draw, value: Any) -> str:
    """One or two changes of the structure, as text."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        value = _changed(draw, value)
    text = json.dumps(value)
    for marker, raw in RAW.items():
        text = text.replace(json.dumps(marker), raw)
    return text


def _changed(draw: Draw, value: Any) -> Any:
    holders = [(holder, key) for holder, key in _places(value)]
    if not holders:
        return _odd(draw)
    holder, key = holders[draw(PLACES) % len(holders)]
    change = draw(st.sampled_from(["odd", "odd", "odd", "drop", "type", "swap", "grow"]))
    match change:
        case "odd":
            holder[key] = _odd(draw)
        case "drop":
            del holder[key]
        case "type":
            old = holder[key]
            holder[key] = draw(st.sampled_from([str(old), [old], {"0": old}, not old]))
        case "swap":
            other, place = holders[draw(PLACES) % len(holders)]
            if isinstance(holder[key], int | str) and isinstance(other[place], int | str):
                holder[key], other[place] = other[place], holder[key]
        case "grow":
            _grow(draw, holder)
    return value


def _grow(draw: Draw, holder: Any) -> None:
    if isinstance(holder, list):
        holder.extend(holder[:] * draw(st.integers(1, 50)))
    else:
        name = draw(st.sampled_from(["", "eta", "chord", "callbacks", "x" * 500]))
        holder[name] = _odd(draw)


def _odd(draw: Draw) -> Any:
    return copy.deepcopy(draw(st.sampled_from(ODD)))


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    return [place for key in keys for place in [(value, key), *_places(value[key])]]


def mutated_safetensors(draw: Draw, payload: bytes, other: bytes = b"") -> bytes:
    """A change of the bytes, or of what their header says."""
    if draw(st.booleans()):
        return mutated_bytes(draw, payload, other)
    end = 8 + int.from_bytes(payload[:8], "little")
    header = mutated_json(draw, json.loads(payload[8:end])).encode()
    return len(header).to_bytes(8, "little") + header + payload[end:]
