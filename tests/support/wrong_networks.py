"""Small networks for the check, and the parts of a right one to make wrong ones of."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.check.cases import Case, Found, Sample
from tapeworks.model.networks.own.check.checking import examine_networks

#: Images and classes of the sample.
IMAGES, CLASSES = 16, 3

IMPORTS = """\
import numpy as np
import tensorflow as tf
"""

PARAMETERS = """\
def parameters(seed, *, hidden: int = 4):
    draw = np.random.default_rng(seed)
    return {
        "first": draw.normal(0, 0.1, (36, hidden)).astype(np.float32),
        "second": draw.normal(0, 0.1, (hidden, 3)).astype(np.float32),
    }
"""

LOSSES = """\
def losses(parameters, images, labels, *, hidden: int = 4):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(parameters, images))
"""

LOGITS = """\
def logits(parameters, images):
    flat = tf.reshape(images, (-1, 36))
    return tf.nn.relu(flat @ parameters["first"]) @ parameters["second"]
"""


def make_source(
    *, imports: str = "", parameters: str = PARAMETERS, losses: str = LOSSES, logits: str = LOGITS
) -> str:
    """A network with some parts replaced; `imports` come after the usual ones."""
    parts = (IMPORTS, imports, parameters, losses, logits)
    return "\n".join(textwrap.dedent(part) for part in parts)


def make_sample(classes: int = CLASSES, images: int = IMAGES) -> Sample:
    """Grey pictures of 6 by 6 with a class each, or floats with a target each."""
    draw = np.random.default_rng(1)
    if not classes:
        return Sample(
            images=draw.normal(size=(images, 6, 6)).astype(np.float32),
            labels=draw.normal(size=images).astype(np.float32),
            class_count=0,
        )
    return Sample(
        images=draw.integers(0, 256, (images, 6, 6), np.uint8),
        labels=draw.integers(0, classes, images).astype(np.uint8),
        class_count=classes,
    )


def make_case(
    source: str,
    sample: Sample,
    *,
    options: Mapping[str, Any] | None = None,
    seed: int = 1,
    is_per_image: bool = False,
    is_measured: bool = False,
    microbatch_size: int = IMAGES,
) -> Case:
    """A case of a file called net.py."""
    return Case(
        name="net.py",
        source=source,
        options=options or {},
        seed=seed,
        is_per_image=is_per_image,
        is_measured=is_measured,
        microbatch_size=microbatch_size,
        sample=sample,
    )


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong network and the sentence about it."""

    sentence: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    is_per_image: bool = False
    has_targets: bool = False


def examine(networks: Iterable[Wrong]) -> list[Found | NetworkError]:
    """The outcomes of all of them, in their order, from one pair of processes."""
    samples = {has_targets: make_sample(0 if has_targets else 3) for has_targets in (False, True)}
    cases = [
        make_case(
            one.source,
            samples[one.has_targets],
            options=one.options,
            is_per_image=one.is_per_image,
        )
        for one in networks
    ]
    return list(examine_networks(cases))
