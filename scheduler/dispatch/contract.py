"""The work that a dispatcher is given, and the results that it gives back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.source import ImageData
from tapeworks.model.images import image_set
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, digest
from tapeworks.scheduler.core.sharding import Shard
from tapeworks.scheduler.events import Event
from tapeworks.storage.records import CheckpointRecord, RunRecord
from tapeworks.wire.messages import AttemptKey


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Work:
    """One iteration's computation, or one evaluation's."""

    run_id: str
    term: int
    iteration: int  #: an evaluation counts as the iteration that would come next
    network: AnyNetwork
    wanted: GradientForm
    parameters: bytes  #: safetensors
    parameters_digest: str
    data: ImageData  #: what the image numbers refer to
    images: NDArray[np.int64]  #: the image set: numbers of its images in the data
    shards: int | None  #: None lets the dispatcher choose
    audit: float = 0.0  #: share of the shards that two workers must agree on

    @classmethod
    def training(
        cls,
        config: RunConfig,
        run_id: str,
        term: int,
        data: ImageData,
        iteration: int,
        parameters: bytes,
    ) -> Work:
        """The work of computing the gradients of an iteration's image set."""
        return cls(
            run_id=run_id,
            term=term,
            iteration=iteration,
            network=config.spec,
            wanted=config.gradient_form,
            parameters=parameters,
            parameters_digest=digest(parameters),
            data=data,
            images=image_set(config, iteration),
            shards=config.shards,
            audit=config.audit,
        )

    @classmethod
    def evaluation(
        cls, config: RunConfig, term: int, checkpoint: CheckpointRecord, held_out: ImageData
    ) -> Work:
        """The work of computing the losses and predictions of all held-out images."""
        return cls(
            run_id=checkpoint.run_id,
            term=term,
            iteration=checkpoint.completed_iterations,
            network=config.spec,
            wanted=GradientForm.NOTHING,
            parameters=checkpoint.parameters,
            parameters_digest=digest(checkpoint.parameters),
            data=held_out,
            images=np.arange(len(held_out.labels)),
            shards=config.shards,
            audit=config.audit,
        )

    @property
    def microbatches(self) -> int:
        """Their number; only the last one may have fewer images than the others."""
        return -(-len(self.images) // self.network.microbatch_size)

    def key(self, shard: int, attempt: int) -> AttemptKey:
        """Return the identity of an attempt at one of its shards."""
        return AttemptKey(
            run=self.run_id,
            term=self.term,
            iteration=self.iteration,
            shard=shard,
            attempt=attempt,
            evaluation=self.wanted is GradientForm.NOTHING,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outcome:
    """The values of one shard's checked answer, without its sums."""

    shard: Shard
    values: Arrays  #: a number per image, by the names of an answer; see `Network.image_values`
    key: AttemptKey  #: of the attempt that was counted
    worker: str
    seconds: float  #: the worker's time for it
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Result:
    """A whole work, computed; each image counted once."""

    outcomes: list[Outcome]  #: one per shard, in their order, which is the image set's
    sums: Arrays  #: of all images' gradients, float64; empty for an evaluation


class Watcher(Protocol):
    """The side of a driver that a dispatcher calls while it waits."""

    def tick(self, *, waiting: bool = False) -> None:
        """Keep the lease. Raises when the run must be left at once.

        While it is `waiting` for what may never come, any wish to stop is reason enough.
        """

    def events(self, event: Event, /) -> None:
        """Tell all listeners what happened. Raises when the run must be left at once."""


class RunWatcher(Watcher, Protocol):
    """A watcher of a whole run, not only of one computation."""

    def goes_on(self, completed_iterations: int) -> bool:
        """Return False once it is known that the run is left after so many iterations."""

    def is_stopped(self, completed_iterations: int) -> bool:
        """Return whether the run is to be left after so many iterations, all of them committed."""

    def heed(self, run: RunRecord) -> None:
        """Raise to leave the run, all of whose iterations so far are in the history."""


class Dispatcher(Protocol):
    """Has works computed, somewhere."""

    attempts: int  #: sent for the latest work
    shards: int  #: cut for the latest work

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of those who compute; None before the first outcome."""

    def begin(
        self,
        run_id: str,
        network: AnyNetwork,
        fingerprint: str | None,
        *,
        allow_mixed: bool,
        quarantined: Collection[str] = (),
        source: str | None = None,
    ) -> None:
        """Get ready for a run whose fingerprint may be pinned already, or may vary.

        Answers of `quarantined` workers do not count. The `source` of a user's network is handed
        on to workers that accept it, and run by no scheduler.
        """

    def start(self, work: Work, watcher: Watcher) -> None:
        """Hand out what `compute` is asked for next, and return without waiting for an answer.

        The caller commits the iteration before meanwhile: nothing of this work is counted yet.
        Raises nothing that would keep the caller from that, but what a lost lease raises.
        """

    def compute(self, work: Work, watcher: Watcher) -> Result:
        """Have every shard of this work computed, and count each once.

        Goes on with the work if it is started; other work that was started is dropped.
        """

    def fingerprints(self) -> frozenset[str]:
        """Return those of the workers that are there for any run; none where it is not known."""

    def refused_networks(self) -> frozenset[str]:
        """Return digests of users' networks that none of these may run, as far as is known."""

    def end(self, run_id: str, term: int) -> None:
        """The run is left; drop what is started, and remove what lies about."""
