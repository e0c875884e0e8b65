"""A scheduler's side and one worker in this process, between which a user's source travels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import redis

from tapeworks.model.datasets.source import ImageData
from tapeworks.model.networks.own.spec import OwnNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import digest, to_bytes
from tapeworks.scheduler.dispatch.contract import Work
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.scheduler.dispatch.link import Link
from tapeworks.scheduler.events import AttemptSent, Event, Notice
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import queue_key
from tapeworks.wire.log_context import about
from tapeworks.wire.messages import AnswerHeader, ShardMessage
from tapeworks.wire.signing import Signer
from tapeworks.workers import tasks
from tapeworks.workers.worker import Worker
from tests.support.entries import argument
from tests.support.traced_network import initial_parameters

FINGERPRINT = "ab"


@dataclass
class Onlooker:
    """Remembers what a run's history would tell, and what was sent."""

    notices: list[Notice] = field(default_factory=list)
    sent: int = 0

    def tick(self, *, waiting: bool = False) -> None:
        """Nothing is to be kept."""

    def events(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event)
        self.sent += isinstance(event, AttemptSent)

    def told(self, kind: str) -> list[str]:
        return [notice.message for notice in self.notices if notice.kind == kind]


class Scene:
    """A scheduler's side and one worker, both in this process, at one Redis."""

    def __init__(self, url: str, source: str, signer: Signer, network: OwnNetwork) -> None:
        self.url, self.signer, self.network = url, signer, network
        self.redis = redis.Redis.from_url(url)
        self.link, self.onlooker = Link(url, signer), Onlooker()
        self.queue: str | None = None  #: from which messages are taken
        self.link.begin("run", network, None, allow_mixed=False, source=source)
        self.link.join(self.onlooker)
        self.begin()

    def begin(self) -> None:
        """Begin an iteration."""
        self.gathering = Gathering(self.link, self._work(), self.onlooker)

    def worker(self, settings: dict[str, str], name: str = "worker-1") -> Worker:
        """Return a registered worker with these settings."""
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in settings.items():
                patch.setenv(variable, value)
            worker = Worker(Exchange(self.url, self.signer))
        worker.name, worker.fingerprint = name, FINGERPRINT
        worker.sources._worker = name
        worker.exchange.register_worker(worker.record())
        return worker

    def turn(self, worker: Worker) -> AnswerHeader | None:
        """Let the scheduler send, the worker answer, and the scheduler judge; return the answer."""
        self.link._looked_at = float("-inf")
        if (asked := self.sent()) is None:
            return None
        header = answer(worker, asked)
        self.gathering._take_arrived(0.1)
        return header

    def sent(self) -> str | None:
        """Let the scheduler send, and take its message from the queue."""
        self.gathering._send_due()
        entry = self.redis.rpop(queue_key(self.queue))
        return argument(entry) if isinstance(entry, bytes) else None

    def asked(self) -> ShardMessage:
        """Return the first message."""
        sent = self.sent()
        assert sent is not None
        return self.link.exchange.open_message(sent)

    def _work(self) -> Work:
        parameters, source = to_bytes(initial_parameters()), np.random.default_rng(3)
        return Work(
            run_id="run",
            term=1,
            iteration=0,
            network=self.network,
            wanted=GradientForm.SUMMED,
            parameters=parameters,
            parameters_digest=digest(parameters),
            data=ImageData(
                images=source.standard_normal((6, 4)).astype(np.float32),
                labels=source.integers(0, 3, 6).astype(np.uint8),
            ),
            images=np.arange(6),
            shards=1,
        )


def answer(worker: Worker, asked: str) -> AnswerHeader:
    """Let the worker answer a message; return the header."""
    headers: list[AnswerHeader] = []
    deliver = worker.deliver

    def note(header: AnswerHeader, arrays: bytes) -> None:
        headers.append(header)
        deliver(header, arrays)

    with pytest.MonkeyPatch.context() as patch, about():
        patch.setattr(tasks, "this_worker", lambda: worker)
        patch.setattr(worker, "deliver", note)
        tasks.serve(asked)
    [header] = headers
    return header
