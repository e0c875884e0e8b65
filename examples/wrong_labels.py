"""Twenty wrong labels among 500 digits, to be found again: see docs/guide.md.

Writes planted.npz, and prints the rows whose labels are wrong; the order is that of a list of the
hardest images, which `tapeworks images` finds without knowing them.
"""

import numpy as np
from sklearn.datasets import load_digits

IMAGES, WRONG, SEED = 500, 20, 3


def plant(labels: np.ndarray) -> np.ndarray:
    """Give some labels another digit, in place; returns their rows, in order."""
    drawn = np.random.PCG64(SEED).random_raw(2 * len(labels))  # the same with every NumPy
    rows = np.sort(np.argsort(drawn[: len(labels)])[:WRONG])
    labels[rows] = (labels[rows] + 1 + drawn[len(labels) + rows] % 9) % 10
    return rows


def main() -> None:
    digits = load_digits()
    images = (digits.images[:IMAGES] / 16).astype(np.float32)
    labels = digits.target[:IMAGES].astype(np.int64)
    rows = plant(labels)
    np.savez("planted.npz", images=images, labels=labels)
    print("wrong labels in rows", *rows)


if __name__ == "__main__":
    main()
