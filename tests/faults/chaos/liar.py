"""A worker that lies when it is told to: `python -m tests.faults.chaos.liar`.

It finds what to lie in a file, takes the file away and spoils its next answer.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tapeworks.model.parameters import Arrays, from_bytes, to_bytes
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import AnswerHeader, Status, checksum
from tests.faults.chaos.faults import FITTING_LIE

#: Names the file.
ORDER_VARIABLE = "CHAOS_LIE"

#: The array that is spoilt; every network has it.
SPOILT = "conv_1"

#: An answer as the worker gives it.
Answer = tuple[AnswerHeader, bytes]


def spoilt(header: AnswerHeader, payload: bytes, lie: str) -> Answer:
    """The answer with this lie in it."""
    if lie == "wrong iteration":
        key = header.key.model_copy(update={"iteration": header.key.iteration + 1})
        return header.model_copy(update={"key": key}), payload
    if lie == "truncated":
        return header, payload[:-1]
    if lie == "flipped bit":
        return header, _flipped(payload, len(payload) // 2)
    arrays = dict(from_bytes(payload))
    change = {"not a number": _not_a_number, "wrong shape": _wrong_shape}.get(lie, _little_off)
    if lie not in {"not a number", "wrong shape", FITTING_LIE}:
        raise ValueError(f"Expected one of the known lies. Received: {lie}")
    arrays[SPOILT] = change(arrays)
    payload = to_bytes(arrays)
    return header.model_copy(update={"payload_checksum": checksum(payload)}), payload


def tell(exchange: type[Exchange], order: Path) -> None:
    """Have every answer of this process pass through here."""
    honest = exchange.answer

    def answer(self: Exchange, header: AnswerHeader, arrays: bytes) -> None:
        if order.exists() and header.status is Status.DONE and SPOILT in from_bytes(arrays):
            header, arrays = spoilt(header, arrays, order.read_text(encoding="utf-8"))
            order.unlink()
        honest(self, header, arrays)

    exchange.answer = answer  # type: ignore[method-assign]


def _flipped(payload: bytes, place: int) -> bytes:
    changed = bytearray(payload)
    changed[place] ^= 4
    return bytes(changed)


def _not_a_number(arrays: Arrays) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    changed = arrays[SPOILT].copy()
    changed.reshape(-1)[0] = np.nan
    return changed


def _wrong_shape(arrays: Arrays) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return arrays[SPOILT][..., :-1].copy()


def _little_off(arrays: Arrays) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """One number's highest bit of the mantissa turned round."""
    changed = arrays[SPOILT].copy()
    changed.reshape(-1).view(np.uint8)[2] ^= 0x40
    return changed


if __name__ == "__main__":
    from tapeworks.workers.__main__ import main

    tell(Exchange, Path(os.environ[ORDER_VARIABLE]))
    main()
