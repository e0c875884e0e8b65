"""The computation of the simulated runs: a pure function of parameters and microbatch."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from tapeworks.model.datasets.source import ImageData
from tapeworks.model.networks.own.spec import Backward, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind, GradientForm
from tapeworks.model.parameters import digest
from tapeworks.scheduler.dispatch.contract import Result, Work
from tapeworks.scheduler.outcomes import Computed
from tapeworks.storage.records import Claim

if TYPE_CHECKING:
    from tests.faults.simulation.store import Run

#: A user's, so that a worker may refuse it.
NETWORK = OwnNetwork(
    source_digest="0" * 64,
    arrays=(("a", (2, 3)),),
    input_shape=(4, 4),
    input_kind=ArrayKind.BYTES,
    target_shape=(),
    target_kind=ArrayKind.BYTES,
    has_logits=True,
    backward=Backward.VECTORIZED,
    operations=1,
    class_count=2,
    microbatch_size=1,
)
DATA = ImageData(images=np.zeros((12, 4, 4), np.uint8), labels=np.zeros(12, np.uint8))

#: Of most workers, and of others.
FINGERPRINT, OTHER_FINGERPRINT = "aa", "bb"

#: When all iterations began, for who wants to know.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def value(
    parameters_digest: str, microbatch: int, fingerprint: str, wanted: str = GradientForm.SUMMED
) -> int:
    """The one right answer on such a machine; as a loss it is exact."""
    asked = f"{parameters_digest}:{microbatch}:{fingerprint}:{wanted}"
    return zlib.crc32(asked.encode()) >> 8


def assigned(parameters: bytes, values: Iterable[int]) -> bytes:
    """The next parameters: they show every value, its place, and what was counted twice."""
    return digest(parameters + repr(list(values)).encode()).encode()


def initial(run_id: str) -> bytes:
    """Parameters before the first iteration."""
    return digest(run_id.encode()).encode()


def reference(run_id: str, microbatches: int, iterations: int, fingerprint: str) -> bytes:
    """The parameters in the end, computed one microbatch after the other."""
    parameters = initial(run_id)
    for _ in range(iterations):
        name = digest(parameters)
        values = [value(name, index, fingerprint) for index in range(microbatches)]
        parameters = assigned(parameters, values)
    return parameters


def work(
    claim: Claim, iteration: int, parameters: bytes, run: Run, audit: float, wanted: GradientForm
) -> Work:
    """Return the work that a dispatcher is given for one iteration, or for an evaluation."""
    return Work(
        run_id=claim.run_id,
        term=claim.term,
        iteration=iteration,
        network=NETWORK,
        wanted=wanted,
        parameters=parameters,
        parameters_digest=digest(parameters),
        data=DATA,
        images=np.arange(run.microbatches),
        shards=run.shards,
        audit=audit,
    )


def computed(work: Work, result: Result, parameters: bytes) -> Computed:
    """Return one iteration as training would have computed it, with the parameters after it."""
    return Computed(
        work=work,
        outcomes=result.outcomes,
        gradient={},
        parameters=parameters,
        parameters_digest=digest(parameters),
        optimizer_state=None,
    )
