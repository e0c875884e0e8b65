"""Losses, logits and gradients of real images, held against the contract."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.engine.results import Compute, EngineResult, Request
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.check.mistakes import refuse_errors
from tapeworks.model.networks.own.check.operations import count_operations
from tapeworks.model.networks.own.check.probe import GRADIENT_OF, Probe, wrong_shape
from tapeworks.model.networks.own.check.reports import Reports
from tapeworks.model.networks.own.engine import computation
from tapeworks.model.networks.own.module import LOGITS, LOSSES, OwnModule, module_file
from tapeworks.model.networks.own.spec import Backward, NetworkFacts, OwnNetwork
from tapeworks.model.networks.spec import LARGEST_MICROBATCH_BYTES, GradientForm
from tapeworks.model.parameters import Arrays, digest, to_bytes

#: Images whose loss alone is compared with their loss among others.
COMPARED_IMAGES = 4

#: The part of the largest loss by which rounding may move one.
TOLERANCE = 1e-3

#: The part of a parameter by which it is moved, so that layers that begin with zeros count, too.
MOVED = 0.1

#: Seconds, and calls, in which a computation's speed is measured.
MEASURED_SECONDS, MOST_CALLS = 1.0, 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Losses:
    """A network's functions on some images of its data."""

    reports: Reports
    network: OwnNetwork
    module: OwnModule
    parameters: Arrays
    images: NDArray[Any]  #: a microbatch, or all that the run has
    labels: NDArray[Any]

    def check_values(self) -> None:
        """Raise `Refusal` for losses, gradients or logits that cannot be trained with."""
        size = self.network.microbatch_size
        probe = Probe(network=self.network, module=self.module, size=size)
        whole = np.arange(size) % len(self.images)
        runs = []
        for turn in ("trace", "second trace"):
            self.reports.stage(f"{turn} of losses")
            traced = probe.trace(with_gradients=True)
            self.reports.stage("computation of losses")
            runs.append(probe.run(traced, self.images[whole], self.labels[whole], self.parameters))
        first, second = runs
        self._check_shapes(first)
        _check_finite(first)
        for name, value in first.items():
            if value.tobytes() != second[name].tobytes():
                raise Refusal(
                    f"Expected the same {_plural(name)} after a second trace. Received: others; "
                    "the file uses what changes from call to call, such as a counter, NumPy's "
                    "random numbers or the time."
                )

    def count_operations(self) -> int:
        """The floating-point operations of one image's loss."""
        size = self.network.microbatch_size
        probe = Probe(network=self.network, module=self.module, size=size)
        return count_operations(probe.trace(with_gradients=False).graph) // size

    def check_apart(self) -> None:
        """Raise `Refusal` if an image's loss depends on its neighbours in the microbatch."""
        size = self.network.microbatch_size
        self.reports.stage("trace of losses of one image")
        among = Probe(network=self.network, module=self.module, size=size)
        alone = Probe(network=self.network, module=self.module, size=1)
        traced, single = among.trace(with_gradients=False), alone.trace(with_gradients=False)
        self.reports.stage("computation of losses of one image")
        whole = np.arange(size) % len(self.images)
        chosen = np.unique(np.linspace(0, size - 1, COMPARED_IMAGES).astype(int))
        for parameters in (self.parameters, _move(self.parameters)):
            together = among.run(traced, self.images[whole], self.labels[whole], parameters)
            for place in chosen:
                row = whole[[place]]
                one = alone.run(single, self.images[row], self.labels[row], parameters)[LOSSES]
                self._compare(int(place), together[LOSSES], one)

    def choose_apart(self) -> tuple[OwnNetwork, Compute]:
        """The network with its way to compute gradients image by image. Raises `Refusal`."""
        for backward in (Backward.VECTORIZED, Backward.LOOP):
            network = self.network.model_copy(update={"backward": backward})
            check_memory(network)
            compute = computation(network)
            self.reports.stage(f"trace of gradients, {backward.value}")
            try:
                with refuse_errors(self._file):
                    self._compute(compute, len(self.images))
            except Refusal:
                if backward is Backward.LOOP:
                    raise
            else:
                return network, compute
        raise AssertionError(Backward.LOOP)

    def compute_bits(self, compute: Compute) -> str:
        """The digest of a microbatch's results, computed twice, and of a short one's."""
        count = len(self.images)
        self.reports.stage("computation of gradients")
        with refuse_errors(self._file):
            results = [self._compute(compute, n) for n in (count, count, max(count - 1, 1))]
        digests = [digest(to_bytes(one.gradients | one.values)) for one in results]
        if digests[0] != digests[1]:
            raise Refusal(
                "Expected the same bits from the same microbatch. Received: others in a second "
                "computation."
            )
        for result in results:
            _check_finite(
                {LOSSES: result.losses}
                | {GRADIENT_OF + name: value for name, value in result.gradients.items()}
            )
        return digest("".join(digests).encode())

    def measure(self, compute: Compute) -> float:
        """Seconds per image of a microbatch, the median of some calls."""
        self.reports.stage("measuring")
        size = self.network.microbatch_size
        self._compute(compute, size)  # traces and compiles
        seconds: list[float] = []
        while sum(seconds) < MEASURED_SECONDS and len(seconds) < MOST_CALLS:
            began = time.perf_counter()
            self._compute(compute, size)
            seconds.append(time.perf_counter() - began)
        return float(np.median(seconds)) / size

    @property
    def _file(self) -> str:
        return module_file(self.network.source_digest)

    def _compute(self, compute: Compute, count: int) -> EngineResult:
        rows = np.arange(count) % len(self.images)
        return compute(
            Request(
                parameters=self.parameters,
                images=self.images[rows],
                labels=self.labels[rows],
                wanted=GradientForm.SUMMED,
                microbatch_size=self.network.microbatch_size,
            )
        )

    def _check_shapes(self, found: Arrays) -> None:
        size, classes = self.network.microbatch_size, self.network.class_count
        for name, wanted in ((LOSSES, (size,)), (LOGITS, (size, classes))):
            if name in found and found[name].shape != wanted:
                raise wrong_shape(name, wanted, found[name].shape)

    def _compare(self, place: int, together: NDArray[Any], alone: NDArray[Any]) -> None:
        largest = float(np.max(np.abs(together), initial=0.0, where=np.isfinite(together)))
        difference = abs(float(together[place]) - float(alone[0]))
        if difference > TOLERANCE * largest + 1e-6:
            raise Refusal(
                "Expected an image's loss not to depend on its neighbours, as each has a gradient "
                f"of its own. Received: {alone[0]:.6g} alone and {together[place]:.6g} in a "
                f"microbatch, for image {place + 1}; batch normalisation does that, group "
                "normalisation does not; or choose gradients=microbatch."
            )


def check_losses(losses: Losses, *, is_per_image: bool, is_measured: bool) -> dict[str, Any]:
    """Return facts, bits and, if they are to be measured, speeds. Raises `Refusal`."""
    check_memory(losses.network)
    losses.check_values()
    if is_per_image:
        losses.check_apart()
        network, compute = losses.choose_apart()
    else:
        network, compute = losses.network, computation(losses.network)
    bits = losses.compute_bits(compute)
    facts = network.model_copy(update={"operations": losses.count_operations()})
    return {
        "facts": facts.model_dump(mode="json", include=set(NetworkFacts.model_fields)),
        "bits": bits,
        "speeds": _measure_both(losses) if is_measured else [],
    }


def _measure_both(losses: Losses) -> list[dict[str, Any]]:
    speeds = [
        {
            "backward": Backward.MICROBATCH.value,
            "image_seconds": losses.measure(computation(losses.network)),
            "refusal": "",
        }
    ]
    try:
        losses.check_apart()
        network, compute = losses.choose_apart()
        seconds = losses.measure(compute)
    except Refusal as refusal:
        return [*speeds, {"backward": None, "image_seconds": 0.0, "refusal": refusal.problem}]
    return [
        *speeds,
        {"backward": network.backward.value, "image_seconds": seconds, "refusal": ""},
    ]


def check_memory(network: OwnNetwork) -> None:
    """Raise `Refusal`, with the arithmetic, if a worker cannot hold a microbatch."""
    if not network.is_computable:
        raise Refusal(
            f"Expected gradients of a microbatch of {network.microbatch_size} images in "
            f"{LARGEST_MICROBATCH_BYTES / 1e9:.1f} GB of a worker's memory. Received: "
            f"{network.parameter_count:,} parameters, which take "
            f"{network.microbatch_bytes / 1e9:.1f} GB; choose gradients=microbatch, or a smaller "
            "microbatch_size."
        )


def _check_finite(found: Arrays) -> None:
    for name, value in found.items():
        if not np.isfinite(value).all():
            received = value[~np.isfinite(value)][0]
            raise Refusal(
                f"Expected finite {_plural(name)} of the data set's images with the initial "
                f"parameters. Received: {received} among them."
            )


def _move(parameters: Arrays) -> Arrays:
    draw = np.random.default_rng(0)
    return {
        name: array + np.float32(MOVED) * draw.standard_normal(array.shape, np.float32)
        for name, array in parameters.items()
    }


def _plural(name: str) -> str:
    return name if name in {LOSSES, LOGITS} else f"numbers in the {name}"
