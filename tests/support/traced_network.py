"""A small network of a user's, which can leave a trace where it is run, and its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tapeworks.model.networks.own.allowed import source_digest
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind
from tapeworks.model.parameters import Arrays

#: Softmax regression of four numbers to three classes.
SOURCE = """\
import numpy as np
import tensorflow as tf


def parameters(seed, *, scale=0.3):
    source = np.random.Generator(np.random.PCG64(seed))
    return {"matrix": (source.standard_normal((4, 3)) * scale).astype(np.float32)}


def logits(parameters, images, *, scale=0.3):
    return tf.linalg.matmul(images, parameters["matrix"])


def losses(parameters, images, labels, *, scale=0.3):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(parameters, images))
"""


def leaving_trace(place: Path, source: str = SOURCE) -> str:
    """Return a source that makes a file in this directory when it is run, named by the process."""
    return f"import os, pathlib\npathlib.Path({str(place)!r}, str(os.getpid())).touch()\n{source}"


def own_network(source: str = SOURCE, **changes: Any) -> OwnNetwork:
    """Return the description that the check would make of it."""
    facts: dict[str, Any] = {
        "source_digest": source_digest(source),
        "arrays": (("matrix", (4, 3)),),
        "input_shape": (4,),
        "input_kind": ArrayKind.FLOATS,
        "target_shape": (),
        "target_kind": ArrayKind.BYTES,
        "has_logits": True,
        "backward": Backward.MICROBATCH,
        "operations": 24,
        "options": (("scale", 0.3),),
        "class_count": 3,
        "microbatch_size": 4,
    }
    return OwnNetwork(**facts | changes)


def initial_parameters() -> Arrays:
    """Return some parameters of it."""
    source = np.random.default_rng(7)
    return {"matrix": source.standard_normal((4, 3)).astype(np.float32)}
