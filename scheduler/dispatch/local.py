"""The in-process dispatcher: no queue, no workers, the same bits."""

from __future__ import annotations

import importlib
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.spec import GRADIENT_NORMS, GradientForm
from tapeworks.model.parameters import Arrays, all_finite, from_bytes
from tapeworks.model.reduction import Reduction
from tapeworks.scheduler.core.sharding import split
from tapeworks.scheduler.dispatch.contract import Outcome, Result, Watcher, Work
from tapeworks.scheduler.errors import divergence_error, other_bits

if TYPE_CHECKING:
    from tapeworks.model.engine.results import EngineResult

#: What the ledger says in place of a worker's name.
IN_PROCESS = "in-process"


class LocalDispatcher:
    """Computes every image in this process, in order."""

    def __init__(self) -> None:
        self.attempts = 0
        self.shards = 0
        self.fingerprint: str | None = None

    def load(self) -> None:
        """Load TensorFlow, which takes as long as compiling does."""
        importlib.import_module("tapeworks.model.engine.runtime")

    def prepare(self, network: AnyNetwork) -> None:
        """Load TensorFlow and compile: seconds that had better pass before a lease runs."""
        from tapeworks.model.engine.gradients import warm_up
        from tapeworks.model.fingerprint import fingerprint

        self.fingerprint = fingerprint()
        warm_up(network)

    def begin(
        self,
        run_id: str,
        network: AnyNetwork,
        fingerprint: str | None,
        *,
        allow_mixed: bool,
        quarantined: Collection[str] = (),  # noqa: ARG002
        source: str | None = None,  # noqa: ARG002
    ) -> None:
        """Refuse a run that another kind of machine began.

        A user's network is run if this process's command has allowed its source.
        """
        self.prepare(network)
        if not allow_mixed and fingerprint not in (None, self.fingerprint):
            raise other_bits(run_id, fingerprint, self.fingerprint)

    def fingerprints(self) -> frozenset[str]:
        """Return this process's own, once it is known."""
        return frozenset(filter(None, [self.fingerprint]))

    def refused_networks(self) -> frozenset[str]:
        """Return none: the run's own is allowed here."""
        return frozenset()

    def start(self, work: Work, watcher: Watcher) -> None:
        """Nothing: nobody else is here who could compute meanwhile."""

    def compute(self, work: Work, watcher: Watcher) -> Result:
        """One slice of images after the other; together they are one shard's answer."""
        from tapeworks.model.engine.slices import answer_arrays, compute_slices

        self.attempts = self.shards = 1
        [shard] = split(work.images, work.network.microbatch_size, 1)
        wanted = work.wanted if work.wanted is GradientForm.NOTHING else GradientForm.SUMMED

        def take(rows: slice) -> tuple[NDArray[Any], NDArray[Any]]:
            watcher.tick()
            numbers = work.images[rows]
            return work.data.images[numbers], work.data.labels[numbers]

        began, parameters = time.perf_counter(), from_bytes(work.parameters)
        results = compute_slices(work.network, parameters, len(work.images), take, wanted)
        finite = (_check_finite(result, work.iteration) for result in results)
        arrays = answer_arrays(finite, work.network, wanted)
        outcome = Outcome(
            shard=shard,
            values={name: arrays[name] for name in work.network.image_values(work.wanted)},
            key=work.key(shard.index, 1),
            worker=IN_PROCESS,
            seconds=time.perf_counter() - began,
            received_at=datetime.now(UTC),
        )
        return Result(outcomes=[outcome], sums=_total(arrays, work))

    def end(self, run_id: str, term: int) -> None:
        """Nothing lies about."""


def _check_finite(result: EngineResult, iteration: int) -> EngineResult:
    """The result, if it is finite, as answers through a queue must be.

    A norm overflows before its gradient does, so that gradients are looked at without norms alone.
    """
    gradients = {} if GRADIENT_NORMS in result.values else result.gradients
    if not all_finite(result.values | gradients):
        raise divergence_error(iteration)
    return result


def _total(arrays: Arrays, work: Work) -> Arrays:
    if work.wanted is GradientForm.NOTHING:
        return {}
    reduction = Reduction()
    reduction.add(0, work.microbatches, {name: arrays[name] for name in work.network.shapes})
    return reduction.total(work.microbatches)
