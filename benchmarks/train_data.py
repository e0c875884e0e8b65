"""MNIST's images, as `tapeworks train --dataset mnist` takes them."""

from __future__ import annotations

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.datasets.source import ImageData


def config_of(count: int, classes: str) -> RunConfig:
    """The run of so many images of these classes (labels, as on the command line: "3,6")."""
    return run_config({"dataset": "mnist", "images": count, "classes": classes})


def load_images(count: int, classes: str) -> ImageData:
    """Its images: the first ones of these classes."""
    return datasets.load(config_of(count, classes)).training
