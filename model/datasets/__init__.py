"""Images and labels to train on: MNIST, scikit-learn's digits, or a user's own .npz file."""

from tapeworks.model.datasets.data import ImageData, Split
from tapeworks.model.datasets.loading import load
from tapeworks.model.datasets.sources import check_name

__all__ = ["ImageData", "Split", "check_name", "load"]
