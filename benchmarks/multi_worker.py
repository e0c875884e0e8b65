"""TensorFlow's own MultiWorkerMirroredStrategy in two processes: `make bench-multi-worker`.

Trains a small dense network with Keras' `fit`, then with a loop of `tf.GradientTape` and
`strategy.run`, and prints which of them worked, or the error.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.metadata import packages_distributions, version
from typing import Any

from benchmarks.processes import ROOT, environment

PROCESSES = 2

#: Seconds that both processes may take; they need some ten, most of them to load TensorFlow.
MOST_SECONDS = 120.0

#: Seconds that a process has to end in when another one has failed; then it is killed.
GRACE_SECONDS = 10.0

#: Characters of an error that are shown: Keras prints whole arrays.
SHOWN_CHARACTERS = 60

#: The last line of a process that trained to the end.
WORKS = "works"

WAYS = {"fit": "Keras' fit", "loop": "a loop of tf.GradientTape and strategy.run"}

IMAGES, FEATURES, CLASSES, BATCH_SIZE, LEARNING_RATE = 64, 8, 2, 16, 0.01


def main() -> None:
    """Try each way in two new processes."""
    versions = f"TensorFlow {_find_version('tensorflow')}, Keras {_find_version('keras')}"
    print(f"MultiWorkerMirroredStrategy, {PROCESSES} processes, {versions}")
    for way, name in WAYS.items():
        errors = sorted({outcome for outcome in try_way(way) if outcome != WORKS})
        print(f"{name} fails: {'; '.join(errors)}" if errors else f"{name} works")


def _find_version(library: str) -> str:
    """Return the version of the distribution that is installed, without loading it."""
    [distribution, *_] = packages_distributions()[library]
    return version(distribution)


def try_way(way: str) -> list[str]:
    """Start the processes, wait for their end, and return the outcome of each."""
    addresses = _free_addresses()
    with ExitStack() as stack:
        processes = [
            stack.enter_context(_start(way, addresses, index)) for index in range(PROCESSES)
        ]
        try:
            _await_end(processes)
        finally:
            for process in processes:
                process.kill()
        return [_read_outcome(process) for process in processes]


def _free_addresses() -> list[str]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(PROCESSES)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]


def _start(way: str, addresses: list[str], index: int) -> subprocess.Popen[str]:
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.multi_worker", way],
        env=environment(TF_CONFIG=json.dumps(cluster), KERAS_BACKEND="tensorflow"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _await_end(processes: list[subprocess.Popen[str]]) -> None:
    """Wait for all; one that failed may leave another waiting for it, which is not waited for."""
    until = time.monotonic() + MOST_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return
        until = min(until, time.monotonic() + GRACE_SECONDS)


def _read_outcome(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    lines = output.splitlines()
    return lines[-1] if lines else f"no result, exit code {process.returncode}"


def work(way: str) -> str:
    """Train in one of the processes that TF_CONFIG names, and return `WORKS` or the error."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    try:
        (fit if way == "fit" else loop)(strategy)
    except Exception as error:  # noqa: BLE001 - any error is the result
        text = " ".join(str(error).split())
        start, _, end = text.partition("<tf.Tensor")
        shown = f"{start[:SHOWN_CHARACTERS]}…{end[end.rfind('})') :]}" if end else text
        return f"{type(error).__name__}: {shown}"
    return WORKS


def _dataset() -> Any:
    import numpy as np
    import tensorflow as tf

    pixels = np.random.default_rng(0).normal(size=(IMAGES, FEATURES)).astype(np.float32)
    labels = (pixels[:, 0] > 0).astype(np.int32)
    return tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(BATCH_SIZE)


def fit(strategy: Any) -> None:
    """Train as TensorFlow's guide for several machines does."""
    import keras

    with strategy.scope():
        model = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(LEARNING_RATE), loss=loss)
    model.fit(_dataset(), epochs=1, verbose=0)


def loop(strategy: Any) -> None:
    """Train the same network without Keras."""
    import tensorflow as tf

    with strategy.scope():
        dense = tf.Variable(tf.zeros((FEATURES, CLASSES)))

    def update(pixels: Any, labels: Any) -> None:
        with tf.GradientTape() as tape:
            logits = pixels @ dense
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.nn.compute_average_loss(losses, global_batch_size=BATCH_SIZE)
        gradient = tape.gradient(loss, dense)
        total = tf.distribute.get_replica_context().all_reduce("sum", gradient)
        dense.assign_sub(LEARNING_RATE * total)

    run = tf.function(lambda batch: strategy.run(update, args=batch))
    for batch in strategy.experimental_distribute_dataset(_dataset()):
        run(batch)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(work(sys.argv[1]))
    else:
        main()
