"""The fingerprint of this process's arithmetic: equal fingerprints give equal bits.

Other instruction sets or library versions round differently, so every worker computes golden
microbatches when it starts. The hash of their bits, with versions, flags and the order of sums, is
its fingerprint.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import SUM_ORDER
from tapeworks.model.engine.flags import FLAGS, THREADS
from tapeworks.model.engine.gradients import engine
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.engine.runtime import tf
from tapeworks.model.errors import ArithmeticUnsound
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.networks.own.golden import golden_bits
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import digest, initial, to_bytes
from tapeworks.model.reduction import microbatch_sums

#: One for each unfolding: the default network, which most runs need compiled anyway, and a small
#: one for the other.
GOLDEN_NETWORKS = (
    BuiltinNetwork(),
    BuiltinNetwork(unfolding=Unfolding.FULL, image_side=14, microbatch_size=2),
)

#: Hexadecimal digits kept: two fingerprints are equal by chance once in 2⁶⁴.
FINGERPRINT_DIGITS = 16


def fingerprint() -> str:
    """This process's fingerprint; the first call computes it. Raises `ArithmeticUnsound`."""
    facts = json.dumps(fingerprint_parts(), sort_keys=True)
    return digest(facts.encode())[:FINGERPRINT_DIGITS]


@functools.cache
def fingerprint_parts() -> dict[str, Any]:
    """All that the fingerprint is the hash of. Raises `ArithmeticUnsound`."""
    return {
        "golden": [golden_digest(network) for network in GOLDEN_NETWORKS],
        "own": golden_bits(),
        "sums": SUM_ORDER,
        "tensorflow": tf.__version__,
        "flags": FLAGS,
        "threads": THREADS,
    }


def golden_digest(network: BuiltinNetwork) -> str:
    """Digest of fixed images' gradients, losses and norms, and of the gradients' sums.

    Raises `ArithmeticUnsound` if they depend on the images' places, or the sums on who adds.
    """
    images, labels = _golden_images(network)
    compute, parameters = engine(network), initial(network, seed=0)
    result = compute(parameters, images, labels)
    forwards, backwards = _bits(result), compute(parameters, images[::-1], labels[::-1])
    sums = to_bytes(compute(parameters, images, labels, GradientForm.SUMMED).gradients)
    added = to_bytes(microbatch_sums(result.gradients, network.microbatch_size))
    if forwards != _bits(backwards, step=-1) or sums != added:
        raise ArithmeticUnsound(
            "Expected the same bits for an image in every place, and for sums in either way. "
            f"Received others from TensorFlow {tf.__version__} on this machine, whose results "
            "would not be reproducible: use another version, or another kind of machine."
        )
    return digest(forwards + sums)


def _golden_images(network: BuiltinNetwork) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Two microbatches and an image, so that there are several groups, and a padded one."""
    count = 2 * network.microbatch_size + 1
    shape = (count, network.image_side, network.image_side)
    pixels = np.random.PCG64(0).random_raw(int(np.prod(shape))) >> np.uint64(56)
    return pixels.astype(np.uint8).reshape(shape), np.arange(count) % network.class_count


def _bits(result: EngineResult, step: int = 1) -> bytes:
    arrays = {"losses": result.losses, "norms": result.gradient_norms} | result.gradients
    return to_bytes({name: array[::step] for name, array in arrays.items()})
