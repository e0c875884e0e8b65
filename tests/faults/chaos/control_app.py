"""The usual Celery way, for comparison: an app with default settings and late acknowledgement.

`celery -A tests.faults.chaos.control_app worker --pool solo` serves it: TensorFlow and fork, which
is the default pool, do not go together.
"""

from __future__ import annotations

import base64
import functools
import os
from pathlib import Path

from celery import Celery

#: Where Redis is, as broker and as result backend.
REDIS_VARIABLE = "CONTROL_REDIS_URL"

#: A file that gets a line for every task that is computed.
LOG_VARIABLE = "CONTROL_COMPUTED"

#: Images in each iteration.
IMAGES_VARIABLE = "CONTROL_IMAGES"

_url = os.environ.get(REDIS_VARIABLE)
app = Celery("control", broker=_url, backend=_url)
app.conf.task_acks_late = True


@app.task(name="gradients")  # type: ignore[untyped-decorator]
def gradients(iteration: int, parameters: str, microbatches: list[int]) -> list[str]:
    """Each microbatch's losses and float64 sums of gradients, as base64 of safetensors."""
    from tapeworks.model.parameters import from_bytes, to_bytes
    from tapeworks.model.reduction import block_sums

    compute, images, labels, size = _problem()
    answers = []
    for index in microbatches:
        rows = slice(index * size, (index + 1) * size)
        result = compute(from_bytes(base64.b64decode(parameters)), images[rows], labels[rows])
        arrays = block_sums(result.gradients, index, size) | {"losses": result.losses}
        answers.append(base64.b64encode(to_bytes(arrays)).decode())
    with Path(os.environ[LOG_VARIABLE]).open("a", encoding="utf-8") as log:
        log.write(f"{iteration} {microbatches[0]}\n")
    return answers


@functools.cache
def _problem():  # type: ignore[no-untyped-def]
    from tapeworks.model import datasets
    from tapeworks.model.config import RunConfig
    from tapeworks.model.engine.gradients import engine

    config = RunConfig(images=int(os.environ[IMAGES_VARIABLE]))
    data = datasets.load(config).training
    network = config.spec
    return engine(network), data.images, data.labels, network.microbatch_size
