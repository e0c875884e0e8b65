"""Images from elsewhere at the side of a run's network, brought there as the run's own were."""

from __future__ import annotations

from pathlib import Path

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.digits import enlarge
from tapeworks.model.datasets.mnist import MNIST_SIDE
from tapeworks.model.datasets.source import Images, crop
from tapeworks.model.errors import DatasetError


def fitted(images: Images, config: RunConfig, file: Path) -> Images:
    """(n, rows, columns) as (n, side, side): resampled, cropped, or as they are.

    Images of the network's side stay as they are. For a run on digits, square ones are resampled;
    for one on MNIST, those of its 28 by 28 pixels are cropped; for one on a user's own file, all
    that are large enough. Raises `DatasetError` for others.
    """
    rows, columns = images.shape[1:]
    side = config.image_side
    if (rows, columns) == (side, side):
        return images
    if config.dataset == "digits":
        _expect(rows == columns, "square images", rows, columns, file)
        return enlarge(images, side)
    if config.dataset == "mnist":
        expected = f"images of {MNIST_SIDE} by {MNIST_SIDE} or {side} by {side} pixels"
        _expect((rows, columns) == (MNIST_SIDE, MNIST_SIDE), expected, rows, columns, file)
    expected = f"images of at least {side} by {side} pixels"
    _expect(min(rows, columns) >= side, expected, rows, columns, file)
    return crop(images, side)


def _expect(right: bool, expected: str, rows: int, columns: int, file: Path) -> None:
    if not right:
        raise DatasetError(
            f"Expected {expected} in {file}, like those of the run. Received: {rows} by {columns}."
        )
