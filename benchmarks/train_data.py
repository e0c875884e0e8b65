"""MNIST's images, as `tapeworks train --dataset mnist` takes them."""

from __future__ import annotations

from model import datasets
from model.config import RunConfig
from model.datasets.data import ImageData


def load_images(count: int, classes: str) -> ImageData:
    """The first images of these classes (labels, as on the command line: "3,6")."""
    labels = tuple(map(int, classes.split(",")))
    return datasets.load(RunConfig(dataset="mnist", images=count, classes=labels)).training
