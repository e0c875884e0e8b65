"""Worker processes that sleep instead of computing: `… -m benchmarks.pacing.workers COUNT SECONDS`.

Real Celery workers at the Redis of TAPEWORKS_REDIS_URL, but for their engine, which waits SECONDS
for each image and gives made-up gradients. TensorFlow is loaded once and shared: the workers are
forked from one process, which has to be asked for nothing of TensorFlow's before. They end with its
input.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pacing.made_up import FINGERPRINT, made_up_result
from tapeworks.model import fingerprint
from tapeworks.model.engine import gradients, slices
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays
from tapeworks.model.settings import Settings
from tapeworks.workers import __main__ as worker


def main(count: str, seconds: str) -> None:
    """Have so many workers until the input ends."""
    replace_engine(float(seconds))
    os.environ[Settings.supervisor_pid.variable] = str(os.getpid())
    children = [_fork() for _ in range(int(count))]
    sys.stdin.read()
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)


def replace_engine(seconds: float) -> None:
    """Let this process wait so long for each image instead of computing it."""

    def engine(network: BuiltinNetwork) -> Callable[..., Any]:
        def wait(
            _: Arrays, images: NDArray[np.uint8], __: NDArray[np.integer], wanted: GradientForm
        ) -> Any:
            time.sleep(len(images) * seconds)
            return made_up_result(network, len(images), wanted)

        return wait

    changes: Any = (
        (slices, "engine", engine),
        (gradients, "warm_up", lambda _: None),
        (fingerprint, "fingerprint", lambda: FINGERPRINT),
    )
    for module, name, function in changes:
        getattr(module, name)  # what is not there is replaced in vain
        setattr(module, name, function)


def _fork() -> int:
    child = os.fork()
    if not child:
        try:
            worker.main()
        finally:
            os._exit(1)
    return child


if __name__ == "__main__":
    main(*sys.argv[1:])
