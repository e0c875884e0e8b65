"""Images and labels to train on: MNIST, scikit-learn's digits, or a user's own .npz file."""

from tapeworks.model.datasets.loading import check_name, load
from tapeworks.model.datasets.source import ImageData, Split

__all__ = ["ImageData", "Split", "check_name", "load"]
