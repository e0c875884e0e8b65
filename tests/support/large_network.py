"""A dense network of five million parameters, and numbers for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Sides of its two matrices: 1,000 × 4,000 + 4,000 × 250 parameters.
INPUTS, HIDDEN, OUTPUTS = 1000, 4000, 250
PARAMETERS = INPUTS * HIDDEN + HIDDEN * OUTPUTS

SOURCE = f"""\
import numpy as np
import tensorflow as tf


def parameters(seed):
    source = np.random.Generator(np.random.PCG64(seed))
    first = source.standard_normal(({INPUTS}, {HIDDEN})) / {INPUTS} ** 0.5
    second = source.standard_normal(({HIDDEN}, {OUTPUTS})) / {HIDDEN} ** 0.5
    return {{"first": first.astype(np.float32), "second": second.astype(np.float32)}}


def losses(parameters, images, targets):
    hidden = tf.nn.relu(images @ parameters["first"])
    return tf.reduce_sum((hidden @ parameters["second"] - targets) ** 2, axis=-1)
"""


def save_files(directory: Path, images: int) -> str:
    """Write the network and so many images with float targets; return options that name them."""
    source = np.random.default_rng(5)
    (directory / "large.py").write_text(SOURCE)
    np.savez(
        directory / "large.npz",
        images=source.standard_normal((images, INPUTS)).astype(np.float32),
        labels=source.standard_normal((images, OUTPUTS)).astype(np.float32),
    )
    network, data = directory / "large.py", directory / "large.npz"
    return f"--network {network} --dataset {data} --images {images} --learning-rate 0.0001"
