"""A program without Tapeworks that loads what was exported and prints the logits that it gives.

Its arguments are directories that each hold `images.npy` and a network's three exports.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from tests import reference_numpy

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import tensorflow as tf


def logits(directory: Path) -> dict[str, Any]:
    """Return what each of the exports says of the images, which are float32 in [0, 1]."""
    images = np.load(directory / "images.npy")
    parameters = safetensors.numpy.load_file(directory / "it.safetensors")
    model = keras.models.load_model(directory / "it.keras")
    served = tf.saved_model.load(str(directory / "saved"))
    return {
        "layers": sorted({type(layer).__module__.split(".")[0] for layer in model.layers}),
        "keras": model(images).numpy().tolist(),
        "savedmodel": served.serve(images).numpy().tolist(),
        "safetensors": [
            reference_numpy.forward(parameters, image).logits.tolist() for image in images
        ],
    }


if __name__ == "__main__":
    found = [logits(Path(name)) for name in sys.argv[1:]]
    ours = {"tapeworks"} & set(sys.modules)
    print(json.dumps({"networks": found, "ours": sorted(ours)}))
