"""The fuzzed problem: a tiny piece of work, and a worker in this process with a trivial engine."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
import redis
from numpy.typing import NDArray

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model.datasets.source import ImageData
from tapeworks.model.engine.gradients import Engine
from tapeworks.model.engine.results import EngineResult
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, digest, initial, to_bytes
from tapeworks.model.reduction import gradients_as_wanted
from tapeworks.scheduler.dispatch.contract import Work
from tapeworks.scheduler.dispatch.link import Link
from tapeworks.scheduler.events import Event, Notice
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import queue_key
from tapeworks.wire.log_context import about
from tapeworks.wire.signing import UNSIGNED, Signer
from tapeworks.workers import tasks
from tapeworks.workers import worker as process

NETWORK = BuiltinNetwork(image_side=4, kernel_sizes=(2,), filters=1, microbatch_size=3)
FINGERPRINT = "ab"

#: Who is fuzzed: without a key, and with one.
SIGNERS = {"unsigned": UNSIGNED, "signed": Signer(b"k" * 32)}


def engine(network: BuiltinNetwork) -> Engine:
    """Numbers that depend on every byte that they should depend on."""

    def compute(
        parameters: Arrays,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        wanted: GradientForm = GradientForm.PER_IMAGE,
    ) -> EngineResult:
        used = to_bytes(parameters | {"images": images, "labels": labels})
        source, count = np.random.default_rng(zlib.crc32(used)), len(images)
        gradients: Arrays = {
            name: source.standard_normal((count, *shape)).astype(np.float32)
            for name, shape in network.shapes.items()
        }
        return EngineResult(
            gradients=gradients_as_wanted(gradients, wanted, network.microbatch_size),
            values={
                "losses": source.random(count, np.float32),
                "gradient_norms": source.random(count, np.float32),
                "predictions": source.integers(0, network.class_count, count, np.int32),
            },
        )

    return compute


def work(wanted: GradientForm = GradientForm.PER_IMAGE) -> Work:
    """Eight images in three microbatches, for one shard."""
    parameters = to_bytes(initial(NETWORK, seed=0))
    pixels = np.arange(8 * 16, dtype=np.uint8).reshape(8, 4, 4)
    return Work(
        run_id="run",
        term=2,
        iteration=5,
        network=NETWORK,
        wanted=wanted,
        parameters=parameters,
        parameters_digest=digest(parameters),
        data=ImageData(images=pixels, labels=np.arange(8, dtype=np.uint8) % 2),
        images=np.arange(8),
        shards=1,
    )


class Onlooker:
    """Remembers what a run's history would tell."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tick(self, *, waiting: bool = False) -> None:
        """Nothing is to be kept."""

    def events(self, event: Event) -> None:
        """Remember a notice."""
        if isinstance(event, Notice):
            assert len(event.message) < 4000, "nobody reads that, and SQL has to keep it"
            self.told.append(event.kind)


@dataclass
class Bench:
    """A scheduler's link and a worker at one Redis, both in this process."""

    signer: Signer
    redis: redis.Redis
    link: Link
    worker: process.Worker
    seen: Counter[str] = field(default_factory=Counter)  #: what became of the cases

    @property
    def exchange(self) -> Exchange:
        """The worker's."""
        return self.worker.exchange

    def last_entry(self) -> bytes:
        """Take the entry that was sent last from the queue of the run's fingerprint."""
        entry = self.redis.lpop(queue_key(self.link.standing.demanded_fingerprint))
        assert isinstance(entry, bytes)
        return entry


@contextmanager
def benches() -> Iterator[dict[str, Bench]]:
    """One for each of the `SIGNERS`, each with a Redis of its own."""
    with ExitStack() as stack:
        logging.disable(logging.CRITICAL)  # what a worker has to say of a spoilt payload
        stack.callback(logging.disable, logging.NOTSET)
        stack.enter_context(patch("tapeworks.model.engine.slices.engine", engine))
        for pause in ("LEAVE_SECONDS", "STRANGER_SECONDS"):
            stack.enter_context(patch(f"tapeworks.workers.tasks.{pause}", 0.0))
        made = {}
        for name, signer in SIGNERS.items():
            server = stack.enter_context(RedisServer())
            worker = process.Worker(Exchange(server.url, signer))
            worker.fingerprint = FINGERPRINT
            client = redis.Redis.from_url(server.url)
            stack.callback(client.close)
            made[name] = Bench(signer, client, Link(server.url, signer), worker)
        yield made


@contextmanager
def at_work(bench: Bench) -> Iterator[None]:
    """This process's worker is the bench's; what its lines are about ends here."""
    with patch.object(tasks, "this_worker", lambda: bench.worker), about():
        yield
