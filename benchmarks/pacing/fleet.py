"""One process that speaks for many workers: `python -m benchmarks.pacing.fleet COUNT SECONDS`.

It shows so many workers at the Redis of TAPEWORKS_REDIS_URL, takes messages for those that are
idle, and answers each after so many seconds, with arrays that nobody computed. What goes to Redis
is composed beforehand, by the product's own functions; all answers that are due leave at once, as
from many machines. It ends with its input.
"""

from __future__ import annotations

import base64
import functools
import heapq
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import redis

from benchmarks.pacing.composing import ComposingExchange
from benchmarks.pacing.made_up import FINGERPRINT, made_up_result
from tapeworks.model.engine.slices import answer_arrays
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import to_bytes
from tapeworks.model.settings import Settings
from tapeworks.wire.addresses import redis_url
from tapeworks.wire.keys import queue_key
from tapeworks.wire.messages import AnswerHeader, ShardMessage, Status, WorkerRecord, checksum
from tapeworks.wire.versions import tapeworks_version

#: Seconds between two times that all workers show themselves; a record lives for five.
SHOW_SECONDS = 2.0

#: Seconds before something is due in which no message is waited for: that wait may end so late.
WAIT_SECONDS = 0.001

#: Where the fleet's messages are.
QUEUES = (queue_key(FINGERPRINT), queue_key(None))


class Fleet:
    """The workers, and what they have in hand."""

    def __init__(self, url: str, count: int, seconds: float) -> None:
        self._exchange, self._seconds = ComposingExchange(url), seconds
        self._idle = [f"fleet-{number}" for number in range(count)]
        self._due: list[tuple[float, str, bytes]] = []  #: when, the worker, its answer
        pool: Any = redis.Redis.from_url(url).connection_pool
        self._reading, self._writing = pool.get_connection(), pool.get_connection()
        self._writing.send_command("CLIENT", "REPLY", "OFF")
        for name in self._idle:
            self._exchange.register_worker(_record(name))
        self._shown, self._show_at = self._exchange.take(), 0.0

    def serve(self) -> None:
        """Take messages and answer them until the process ends."""
        is_waiting = False
        while True:
            if self._idle and not is_waiting:
                self._reading.send_command("BRPOP", *QUEUES, 0)
                is_waiting = True
            arrived = self._wait(is_waiting)
            self._send_what_is_due()
            if arrived:
                _, entry = self._reading.read_response()
                is_waiting = False
                self._take([entry])
                self._take_others()

    def _wait(self, is_waiting: bool) -> bool:
        """Wait until something is due, or a message has arrived; return whether one has."""
        until = min(self._show_at, self._due[0][0] if self._due else self._show_at)
        seconds = until - time.monotonic()
        if is_waiting and self._reading.can_read(max(0.0, seconds - WAIT_SECONDS)):
            return True
        time.sleep(max(0.0, until - time.monotonic()))
        return False

    def _send_what_is_due(self) -> None:
        now, leaving = time.monotonic(), []
        if now >= self._show_at:
            leaving.append(self._shown)
            self._show_at = now + SHOW_SECONDS
        while self._due and self._due[0][0] <= now:
            _, name, answer = heapq.heappop(self._due)
            leaving.append(answer)
            self._idle.append(name)
        if leaving:
            self._writing.send_packed_command([b"".join(leaving)])

    def _take_others(self) -> None:
        """Take what else is there for workers that are idle, in one go."""
        for queue in QUEUES:
            if self._idle:
                self._reading.send_command("RPOP", queue, len(self._idle))
                self._take(self._reading.read_response() or [])

    def _take(self, entries: list[bytes]) -> None:
        due = time.monotonic() + self._seconds
        for entry in entries:
            name = self._idle.pop()
            self._answer(_message(self._exchange, entry), name)
            heapq.heappush(self._due, (due, name, self._exchange.take()))

    def _answer(self, shard: ShardMessage, name: str) -> None:
        form = shard.network, shard.wanted, shard.first_microbatch, len(shard.images)
        arrays, arrays_checksum = _arrays(*form)
        header = AnswerHeader(
            key=shard.key,
            parameters_digest=shard.parameters_digest,
            status=Status.DONE,
            worker=name,
            fingerprint=FINGERPRINT,
            seconds=self._seconds,
            payload_checksum=arrays_checksum,
        )
        self._exchange.answer(header, arrays)


def _message(exchange: ComposingExchange, entry: bytes) -> ShardMessage:
    (sealed,), _, _ = json.loads(base64.b64decode(json.loads(entry)["body"]))
    return exchange.open_message(sealed)


@functools.cache
def _arrays(
    network: BuiltinNetwork, wanted: GradientForm, first_microbatch: int, images: int
) -> tuple[bytes, str]:
    """An answer's arrays, and their checksum; the same in every iteration."""
    results = [made_up_result(network, images, wanted)]
    arrays = to_bytes(answer_arrays(results, network, wanted, first_microbatch))
    return arrays, checksum(arrays)


def _record(name: str) -> WorkerRecord:
    now = datetime.now(UTC).isoformat()
    return WorkerRecord(
        name=name,
        host="fleet",
        pid=os.getpid(),
        since=now,
        state="busy",
        fingerprint=FINGERPRINT,
        version=tapeworks_version(),
        clock=now,
    )


def main(count: str, seconds: str) -> None:
    """Be so many workers until the input ends."""
    fleet = Fleet(redis_url(Settings(os.environ)), int(count), float(seconds))
    threading.Thread(target=fleet.serve, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
