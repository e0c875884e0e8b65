"""Answers as real workers write them, byte for byte, and as bad ones do."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from tapeworks.model.networks.spec import LOSSES, GradientForm
from tapeworks.model.parameters import to_bytes
from tapeworks.model.reduction import blocks
from tapeworks.scheduler.core.standing import MOST_STRIKES
from tapeworks.wire.messages import AnswerHeader, ShardMessage, Status, checksum
from tests.faults.simulation.faults import Kind
from tests.faults.simulation.problem import value
from tests.faults.simulation.world import World


class Misdeed(StrEnum):
    """The fault in one answer."""

    NONE = ""
    LIE = "lies"
    CORRUPT = "corrupts"
    UNREADABLE = "writes no header"
    NOT_FINITE = "says NaN"
    FAIL = "fails"


#: How each kind of worker misbehaves, how often, and how many times for one shard: more would
#: rightly end the run.
MISDEEDS: dict[Kind, tuple[tuple[Misdeed, ...], float, int]] = {
    Kind.LIAR: ((Misdeed.LIE,), 0.7, 1000),
    Kind.BROKEN: ((Misdeed.LIE,), 0.7, 1000),
    Kind.ODD: ((Misdeed.CORRUPT,), 0.7, MOST_STRIKES),
    Kind.CORRUPT: ((Misdeed.CORRUPT,), 0.7, MOST_STRIKES),
    Kind.NOT_FINITE: ((Misdeed.NOT_FINITE,), 0.7, 1),
    Kind.FAILING: ((Misdeed.FAIL, Misdeed.UNREADABLE), 0.7, 5),
}


class Character:
    """Decides what is wrong with a worker's next answer."""

    def __init__(self, world: World, kind: Kind) -> None:
        self.kind = kind
        self._world = world
        self._done: dict[tuple[str, int, int, int], int] = {}

    def misdeed(self, message: ShardMessage) -> Misdeed:
        """Honest workers have none."""
        if self.kind not in MISDEEDS or (self.kind is Kind.ODD and message.key.iteration):
            return Misdeed.NONE
        choices, probability, most = MISDEEDS[self.kind]
        shard = message.key.run, message.key.term, message.key.iteration, message.key.shard
        if self._done.get(shard, 0) >= most or not self._world.happens(probability):
            return Misdeed.NONE
        self._done[shard] = self._done.get(shard, 0) + 1
        return self._world.chance.choice(choices)


def answer(
    message: ShardMessage, status: Status, worker: str, fingerprint: str, misdeed: Misdeed
) -> tuple[AnswerHeader, bytes, bytes]:
    """The header, its bytes and the arrays'."""
    if status is Status.DONE and misdeed is Misdeed.FAIL:
        status = Status.FAILED
    arrays = _arrays(message, worker, fingerprint, misdeed) if status is Status.DONE else b""
    missing = (message.parameters_digest, *message.chunks.values())
    header = AnswerHeader(
        key=message.key,
        parameters_digest=message.parameters_digest,
        status=status,
        missing=missing if status is Status.MISSING else (),
        worker=worker,
        fingerprint=fingerprint,
        seconds=0.01,
        payload_checksum=checksum(arrays),
    )
    if misdeed is Misdeed.CORRUPT and arrays:
        arrays = _arrays(message, worker, fingerprint, Misdeed.LIE)  # not what the checksum is of
    head = header.model_dump_json().encode()
    return header, head[:-9] if misdeed is Misdeed.UNREADABLE else head, arrays


def _arrays(message: ShardMessage, worker: str, fingerprint: str, misdeed: Misdeed) -> bytes:
    name, first = message.parameters_digest, message.first_microbatch
    if misdeed is Misdeed.LIE:  # another one than that of any other liar
        name += worker
    indices = range(first, first + message.microbatches)
    values = [value(name, index, fingerprint, message.wanted) for index in indices]
    losses = np.array(values, np.float32)
    if misdeed is Misdeed.NOT_FINITE:
        losses[-1] = np.nan
    shapes = message.network.shapes if message.wanted is GradientForm.SUMMED else {}
    totals = [
        float(sum(values[block.first - first :][: 1 << block.level]))
        for block in blocks(first, message.microbatches)
    ]
    sums = {
        name: np.stack([np.full(shape, total) for total in totals])
        for name, shape in shapes.items()
    }
    kinds = message.network.image_values(message.wanted)
    values_of_images = {name: np.zeros(len(indices), kind) for name, kind in kinds.items()}
    return to_bytes(sums | values_of_images | {LOSSES: losses})
