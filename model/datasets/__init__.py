"""Images and labels to train on: MNIST, scikit-learn's digits, or a user's own .npz file."""

from model.datasets.data import ImageData, Split
from model.datasets.loading import load
from model.datasets.sources import check_name

__all__ = ["ImageData", "Split", "check_name", "load"]
