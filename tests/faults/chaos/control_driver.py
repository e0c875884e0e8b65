"""The loop of the usual Celery way: a group for every iteration, and `.get()` for its answers.

Goes on where its checkpoint stands: `python -m tests.faults.chaos.control_driver FILE ITERATIONS`.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from celery import group

from tapeworks.model.config import RunConfig
from tapeworks.model.parameters import Arrays, assign, from_bytes, initial, to_bytes
from tapeworks.model.reduction import Reduction, mean_gradient, total_loss
from tests.faults.chaos.control_app import IMAGES_VARIABLE, gradients

#: Tasks in a group.
TASKS = 4

#: Beside the parameters in a checkpoint: the loss of every iteration so far.
LOSSES = "losses"


def main(checkpoint: Path, iterations: int, seed: int) -> None:
    """Train to the end; every iteration is in the checkpoint before the next begins."""
    config = RunConfig(images=int(os.environ[IMAGES_VARIABLE]), seed=seed)
    state = _state(checkpoint, config)
    losses = state.pop(LOSSES).tolist()
    parameters = state
    microbatches = -(-config.images // config.spec.microbatch_size)
    shards = [part.tolist() for part in np.array_split(np.arange(microbatches), TASKS)]
    for iteration in range(len(losses), iterations):
        named = base64.b64encode(to_bytes(parameters)).decode()
        tasks = group(gradients.s(iteration, named, shard) for shard in shards)
        answers = [answer for part in tasks.apply_async().get() for answer in part]
        arrays = [dict(from_bytes(base64.b64decode(answer))) for answer in answers]
        values = np.concatenate([array.pop(LOSSES) for array in arrays])
        total = _total(arrays)
        parameters = assign(parameters, mean_gradient(total, config.images), config.learning_rate)
        losses.append(total_loss(values))
        _write(checkpoint, parameters | {LOSSES: np.array(losses)})


def _total(sums: Sequence[Arrays]) -> Arrays:
    reduction = Reduction()
    for microbatch, arrays in enumerate(sums):
        reduction.add(microbatch, 1, arrays)
    return reduction.total(len(sums))


def _state(checkpoint: Path, config: RunConfig) -> Arrays:
    if checkpoint.exists():
        return dict(from_bytes(checkpoint.read_bytes()))
    return initial(config.built_in, config.seed) | {LOSSES: np.zeros(0)}


def _write(checkpoint: Path, arrays: Arrays) -> None:
    draft = checkpoint.with_suffix(".draft")
    draft.write_bytes(to_bytes(arrays))
    draft.replace(checkpoint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
