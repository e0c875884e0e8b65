"""Data sets to train on: those with a name of their own, and a user's .npz files."""

from tapeworks.model.datasets.loading import check_dataset, load
from tapeworks.model.datasets.source import ImageData, Split

__all__ = ["ImageData", "Split", "check_dataset", "load"]
