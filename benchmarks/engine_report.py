"""The report of the engine's benchmark: the table, and the line for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

from benchmarks.engine_process import PRODUCT_SIDE, PRODUCTS
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding

PEERS = {
    "jax-convolution": "JAX jit(vmap(grad)), convolution",
    "jax-slices": "JAX jit(vmap(grad)), shifted slices",
    "torch": "PyTorch vmap(grad)",
}
LABELS = PEERS | {
    "seed": "the seed's program",
    "full": "Tapeworks, full unfolding",
    "layerwise": "Tapeworks, layerwise",
}

#: Images per second by engine and images in a call, one per round; for a library, its products.
Samples = dict[tuple[str, int], list[float]]


def table(samples: Samples, network: BuiltinNetwork) -> Iterator[str]:
    """A line per engine and number of images in a call."""
    best = _best(samples, PEERS)
    yield f"One core; {network.multiply_adds:,} multiply-adds an image at least;"
    yield f"a large product makes {_machine(samples) / 1e9:.1f} billion a second here."
    yield ""
    yield f"{'':36} images   images/s    lowest   highest  of best peer  of the floor"
    for (engine, count), rates in samples.items():
        if engine in PRODUCTS:
            continue
        rate = statistics.median(rates)
        yield (
            f"{LABELS[engine]:36} {count:6} {rate:10,.0f} {min(rates):9,.0f} {max(rates):9,.0f} "
            f"{rate / best:12.2f}x {_share(samples, network, rate):12.1%}"
        )


def told(samples: Samples, network: BuiltinNetwork) -> str:
    """The line for programs."""
    ours = _best(samples, [Unfolding.LAYERWISE])
    values = {
        "best_peer_ratio": ours / _best(samples, PEERS),
        "seed_ratio": ours / _best(samples, ["seed"]),
        "floor_share": _share(samples, network, ours),
    }
    return "engine: " + " ".join(f"{name}={value:.3f}" for name, value in values.items())


def _best(samples: Samples, engines: Iterable[str]) -> float:
    """The best median of these engines; NaN where none of them was measured."""
    medians = [statistics.median(rates) for (name, _), rates in samples.items() if name in engines]
    return max(medians, default=float("nan"))


def _machine(samples: Samples) -> float:
    """Multiply-adds per second of a large product, by the faster library."""
    return _best(samples, PRODUCTS) * PRODUCT_SIDE**3


def _share(samples: Samples, network: BuiltinNetwork, rate: float) -> float:
    return rate * network.multiply_adds / _machine(samples)
