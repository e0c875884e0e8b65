"""The in-process dispatcher: no queue, no workers, the same bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from model.config import NetworkConfig
from model.parameters import all_finite, from_bytes
from model.reduction import block_sums
from scheduler.errors import diverged, other_bits
from scheduler.work import Outcome, Watcher, Work
from workers.messages import GRADIENT_NORMS, LOSSES, Wanted

#: What the ledger says in place of a worker's name.
IN_PROCESS = "in-process"


class LocalDispatcher:
    """Computes every microbatch in this process, in order."""

    def __init__(self) -> None:
        self.attempts = 0
        self.shards = 0
        self.fingerprint: str | None = None

    def prepare(self, network: NetworkConfig) -> None:
        """Load TensorFlow and compile: seconds that had better pass before a lease runs."""
        from model.gradients import warm_up
        from workers.fingerprint import fingerprint

        self.fingerprint = fingerprint()
        warm_up(network)

    def begin(
        self, run_id: str, network: NetworkConfig, fingerprint: str | None, *, allow_mixed: bool
    ) -> None:
        """Refuse a run that another kind of machine began."""
        self.prepare(network)
        if not allow_mixed and fingerprint not in (None, self.fingerprint):
            raise other_bits(run_id, fingerprint, self.fingerprint)

    def fingerprints(self) -> frozenset[str]:
        """Return this process's own, once it is known."""
        return frozenset(filter(None, [self.fingerprint]))

    def compute(self, work: Work, watcher: Watcher) -> Iterator[Outcome]:
        """One microbatch after the other; together they are one shard's answer."""
        from model.gradients import engine

        self.attempts = self.shards = 1
        compute, parameters = engine(work.network), from_bytes(work.parameters)
        began, computed = time.perf_counter(), []
        size = work.network.microbatch_size
        for microbatch in work.microbatches:
            watcher.tick()
            images = np.array(microbatch.images)
            result = compute(parameters, work.data.images[images], work.data.labels[images])
            # A norm overflows before its gradient does; answers through a queue are judged so too.
            if not all_finite({LOSSES: result.losses, GRADIENT_NORMS: result.gradient_norms}):
                raise diverged(work.iteration)
            sums = {} if work.wanted is Wanted.NOTHING else block_sums(result.gradients, 0, size)
            computed.append(
                Outcome(
                    microbatch=microbatch,
                    sums={name: array[0] for name, array in sums.items()},
                    losses=result.losses,
                    gradient_norms=result.gradient_norms,
                    predictions=result.predictions,
                    shard=0,
                    attempt=1,
                    epoch=work.epoch,
                    worker=IN_PROCESS,
                    seconds=0.0,  # of the whole shard, known when it is done
                    received_at=datetime.now(UTC),
                )
            )
        seconds, received_at = time.perf_counter() - began, datetime.now(UTC)
        for outcome in computed:
            yield replace(outcome, seconds=seconds, received_at=received_at)

    def end(self, run_id: str, epoch: int) -> None:
        """Nothing lies about."""
