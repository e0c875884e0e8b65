"""Predictions in as few bits as they need: most networks tell two classes apart."""

from __future__ import annotations

import numpy as np

#: Bits that a prediction may take; a byte holds a whole number of them.
WIDTHS = (1, 2, 4, 8)

#: Stands for no predictions at all: they have no width.
NO_PREDICTIONS = b"\0"


def pack(predictions: bytes | None) -> bytes:
    """A byte that tells the width in bits, then the predictions, the first in the lowest bits.

    The byte alone, 0, where a network predicts nothing.
    """
    if predictions is None:
        return NO_PREDICTIONS
    values = np.frombuffer(predictions, np.uint8)
    largest = int(values.max(initial=0))
    width = next(width for width in WIDTHS if largest < 1 << width)
    if width == 1:  # by far the most usual, and many times as fast
        return bytes([width]) + np.packbits(values, bitorder="little").tobytes()
    per_byte = 8 // width
    rows = np.pad(values, (0, -len(values) % per_byte)).reshape(-1, per_byte)
    content = np.zeros(len(rows), np.uint8)
    for place in range(per_byte):  # along the long axis, which takes NumPy a tenth of the time
        content |= rows[:, place] << np.uint8(place * width)
    return bytes([width]) + content.tobytes()


def unpack(content: bytes, count: int) -> bytes | None:
    """So many predictions, a byte each. What was damaged gives other predictions or fewer."""
    if content == NO_PREDICTIONS:
        return None
    width = content[0] if content[:1] and content[0] in WIDTHS else WIDTHS[-1]
    packed_bytes, mask = np.frombuffer(content[1:], np.uint8), np.uint8((1 << width) - 1)
    rows = np.empty((len(packed_bytes), 8 // width), np.uint8)
    for place in range(8 // width):
        rows[:, place] = packed_bytes >> np.uint8(place * width) & mask
    return rows.reshape(-1)[:count].tobytes()
