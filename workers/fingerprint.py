"""What this process's arithmetic looks like: equal fingerprints give equal bits.

Other instruction sets or library versions round differently, so every worker computes golden
microbatches when it starts. The hash of their bits, with versions, flags and the order of sums, is
its fingerprint.
"""

from __future__ import annotations

import functools
import json

import numpy as np

from model.config import SUM_ORDER, NetworkConfig, Unfolding
from model.flags import FLAGS, THREADS
from model.gradients import engine
from model.parameters import digest, initial, to_bytes
from model.runtime import tf

#: One for each unfolding: the default network, which most runs need compiled anyway, and a small
#: one for the other.
GOLDEN_NETWORKS = (
    NetworkConfig(),
    NetworkConfig(unfolding=Unfolding.FULL, image_side=14, microbatch_size=2),
)

#: Hexadecimal digits kept: two fingerprints are equal by chance once in 2⁶⁴.
FINGERPRINT_DIGITS = 16


@functools.cache
def fingerprint() -> str:
    """This process's fingerprint; the first call computes the golden microbatches."""
    facts = {
        "golden": [golden_digest(network) for network in GOLDEN_NETWORKS],
        "sums": SUM_ORDER,
        "tensorflow": tf.__version__,
        "flags": FLAGS,
        "threads": THREADS,
    }
    return digest(json.dumps(facts, sort_keys=True).encode())[:FINGERPRINT_DIGITS]


def golden_digest(network: NetworkConfig) -> str:
    """Digest of one microbatch's gradients and losses, for fixed images and parameters."""
    shape = (network.microbatch_size, network.image_side, network.image_side)
    pixels = np.random.PCG64(0).random_raw(int(np.prod(shape))) >> np.uint64(56)
    images = pixels.astype(np.uint8).reshape(shape)
    labels = np.arange(network.microbatch_size) % network.class_count
    result = engine(network)(initial(network, seed=0), images, labels)
    return digest(to_bytes(result.gradients | {"losses": result.losses}))
