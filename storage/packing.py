"""Predictions in as few bits as they need: most networks tell two classes apart."""

from __future__ import annotations

import numpy as np

#: Bits that a prediction may take; a byte holds a whole number of them.
WIDTHS = (1, 2, 4, 8)


def packed(predictions: bytes) -> bytes:
    """A byte that tells the width in bits, then the predictions, the first in the lowest bits."""
    values = np.frombuffer(predictions, np.uint8)
    largest = int(values.max(initial=0))
    width = next(width for width in WIDTHS if largest < 1 << width)
    if width == 1:  # by far the most usual, and many times as fast
        return bytes([width]) + np.packbits(values, bitorder="little").tobytes()
    per_byte = 8 // width
    rows = np.pad(values, (0, -len(values) % per_byte)).reshape(-1, per_byte)
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(width)
    content: bytes = np.bitwise_or.reduce(rows << shifts, axis=1).astype(np.uint8).tobytes()
    return bytes([width]) + content


def unpacked(content: bytes, count: int) -> bytes:
    """So many predictions, a byte each. What was damaged gives other predictions or fewer."""
    width = content[0] if content[:1] and content[0] in WIDTHS else WIDTHS[-1]
    shifts = np.arange(8 // width, dtype=np.uint8) * np.uint8(width)
    mask = np.uint8((1 << width) - 1)
    rows = (np.frombuffer(content[1:], np.uint8)[:, np.newaxis] >> shifts) & mask
    return rows.reshape(-1)[:count].astype(np.uint8).tobytes()
