"""This worker process: name, fingerprint, caches, heartbeat, and the watch over its queue."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import cachetools
import psutil
import tenacity

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.parameters import Arrays, from_bytes
from tapeworks.model.settings import Settings
from tapeworks.wire.envelopes import reserve
from tapeworks.wire.errors import RedisRefused, RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.limits import MOST_WARM_NETWORKS
from tapeworks.wire.messages import AnswerHeader, ShardMessage, WorkerRecord
from tapeworks.wire.versions import python_version, tapeworks_version, tensorflow_version
from tapeworks.workers.cores import core_count
from tapeworks.workers.events import Listener, Outages, WorkerReady, WorkerStarted, log
from tapeworks.workers.sources import Sources
from tapeworks.workers.stages import Stage, tell_supervisor

logger = logging.getLogger(__name__)

#: Seconds between two heartbeats; a record lives for five of them.
HEARTBEAT_SECONDS = 1.0

#: Images and parameters kept by one worker, in bytes.
CHUNKS_BYTES, PARAMETERS_BYTES = 128 * 2**20, 128 * 2**20

#: Parameters kept at most: those of finished iterations are not needed.
MOST_PARAMETERS = 8

#: How often an answer is written before it is given up, and the longest pause between, in seconds.
DELIVERY_TRIES = 12
LONGEST_RETRY_SECONDS = 1.0

#: The exit code of a worker that is up but takes nothing.
NOT_CONSUMING = 3

#: The exit code of a worker whom Redis does not know, as for `tapeworks`.
REFUSED = 4

#: So many heartbeats in a row without a message from a queue that is not empty are too many.
#: Heartbeats, not seconds: a process that was frozen for an hour has missed one heartbeat.
IDLE_HEARTBEATS = 30

_Kept = cachetools.LRUCache[str, Arrays]


class Watchdog:
    """Judges one worker by what each of its heartbeats finds."""

    def __init__(self) -> None:
        self._taken = 0
        self._idle_heartbeats = 0

    def beat(self, taken: int, queue_length: int, *, busy: bool) -> bool:
        """Record a heartbeat; return whether the worker has stopped consuming.

        `taken` are the messages that it took since it started, stale ones too; it is `busy` while
        it has one in hand.
        """
        idle = not busy and taken == self._taken and queue_length > 0
        self._idle_heartbeats = self._idle_heartbeats + 1 if idle else 0
        self._taken = taken
        return self._idle_heartbeats >= IDLE_HEARTBEATS


class Payloads:
    """Images and parameters, parsed, the latest used of them; none is fetched or parsed twice."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._fetched: dict[str, bytes] = {}  # parameters of the shard in hand
        self._chunks: _Kept = cachetools.LRUCache(CHUNKS_BYTES, _size)
        self._parameters: _Kept = cachetools.LRUCache(
            PARAMETERS_BYTES, lambda arrays: max(_size(arrays), PARAMETERS_BYTES // MOST_PARAMETERS)
        )

    def begin(self, shard: ShardMessage) -> bool:
        """Fetch the shard's parameters; return False, with the same round trip, if it is stale."""
        name, most = shard.parameters_digest, shard.largest_parameters_bytes
        limits = {} if name in self._parameters else {name: most}
        is_stale, self._fetched = self._exchange.look(shard, limits)
        return not is_stale

    def fetch(self, shard: ShardMessage) -> dict[str, Arrays]:
        """Return what the shard needs by digest; what is gone from Redis is left out.

        Raises `ParametersError` for what is not safetensors.
        """
        limits = shard.payload_limits
        found = {name: kept for name in limits if (kept := self._cache_of(shard, name).get(name))}
        missing = limits.keys() - found.keys() - self._fetched.keys()
        fetched = self._exchange.fetch({name: limits[name] for name in missing})
        for name, payload in (self._fetched | fetched).items():
            found[name] = from_bytes(payload)
            with suppress(ValueError):  # too large to be kept
                self._cache_of(shard, name)[name] = found[name]
        self._fetched = {}
        return found

    def _cache_of(self, shard: ShardMessage, name: str) -> _Kept:
        return self._parameters if name == shard.parameters_digest else self._chunks


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


class Worker:
    """State of a worker process. The heartbeat thread reads what the task's thread changes."""

    def __init__(self, exchange: Exchange, events: Listener = log) -> None:
        """Raises `SigningKeyUnusable`, and model's `VariableUnreadable`."""
        self.exchange, self.events = exchange, events
        self.name, self._host = f"{socket.gethostname()}-{os.getpid()}", socket.gethostname()
        self._process = psutil.Process()
        self.payloads = Payloads(exchange)
        self.sources = Sources(exchange, self.name, Settings(os.environ))
        self.fingerprint: str | None = None
        self._since = datetime.now(UTC)
        #: Of its supervisor's workers together; it may be kept on one of them.
        self._cores = core_count(Settings(os.environ).supervisor_pid or 0)
        self._shard: str | None = None
        self._images = 0
        self._busy_seconds = 0.0
        self._taken = 0
        self._in_hand = False
        self._watchdog = Watchdog()
        #: A supervisor reports for all its workers together.
        supervised = Settings(os.environ).supervisor_pid is not None
        self._outages = Outages(logging.DEBUG if supervised else logging.WARNING)
        self._leaving = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Register this worker, compile what the runs in progress need, and take the fingerprint.

        Raises `RedisRefused`; a Redis that is away is waited for.
        """
        self._log_in()
        self.events(WorkerStarted(self.name))
        tell_supervisor(Stage.LOADING)
        from tapeworks.model.fingerprint import fingerprint  # loads TensorFlow

        # Not before: what it says, as its last words, is not to be lost while that import may write
        # nothing to stderr.
        self._heart.start()
        tell_supervisor(Stage.COMPILING)
        golden = fingerprint()
        try:
            networks = dict.fromkeys(self.exchange.networks())
            for network in list(networks)[:MOST_WARM_NETWORKS]:
                self._warm_up(network)
        except RedisUnreachable as error:
            logger.debug("%s Going on without warming up.", error)
        self.fingerprint = golden
        tell_supervisor(Stage.READY)
        with self._outages.watch():  # those who wait for it need not wait for a heartbeat
            self._register()
        self.events(WorkerReady(self.name, golden))

    def _warm_up(self, network: AnyNetwork) -> None:
        """Compile a network if it may be run here; a user's that fails will say so of its shard."""
        from tapeworks.model.engine.gradients import warm_up

        try:
            self.sources.admit(network)
            warm_up(network)
        except RedisUnreachable:
            raise
        except Exception as error:
            if network.digest is None:
                raise
            logger.debug("Not warmed up for %s: %s", network.title, error)

    def _log_in(self) -> None:
        try:
            self.exchange.server_id()
        except RedisRefused:
            raise
        except RedisUnreachable as error:
            self._outages.begin(error)

    def stop(self) -> None:
        """Leave the list of workers."""
        self._leaving.set()
        try:
            self.exchange.deregister_worker(self.name)
        except RedisUnreachable as error:
            logger.debug("%s", error, extra={"event": "redis_unreachable"})

    def deliver(self, header: AnswerHeader, arrays: bytes) -> None:
        """Write an answer to Redis, which may be full or away for a while: a late one is good."""
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RedisUnreachable),
            wait=tenacity.wait_exponential(multiplier=0.1, max=LONGEST_RETRY_SECONDS),
            stop=tenacity.stop_after_attempt(DELIVERY_TRIES),
            reraise=True,
        ):
            with attempt:
                self.exchange.answer(header, arrays)

    def take(self) -> None:
        """A message was taken from the queue, be it a stale one."""
        self._taken += 1
        self._in_hand = True

    def lay_down(self) -> None:
        """Record that the message in hand is done."""
        self._in_hand = False

    def is_worn(self) -> bool:
        """Report whether it has compiled more networks than it may hold.

        Their memory never comes back, so that a new process has to go on in its place.
        """
        from tapeworks.model.engine.gradients import (  # loads TensorFlow
            MOST_NETWORKS,
            count_compiled_networks,
        )

        return count_compiled_networks() > MOST_NETWORKS

    @contextmanager
    def holding(self, shard: ShardMessage) -> Iterator[None]:
        """Show this shard as the one in hand; the first one at once, for it may be the last."""
        self._shard = shard.key.id
        if not self._busy_seconds:
            with suppress(RedisUnreachable):
                self.exchange.register_worker(self.record())
        try:
            yield
        finally:
            self._shard = None

    @property
    def queues(self) -> list[str | None]:
        """Those that it takes messages from, by the fingerprint that each is for."""
        fitting = list(dict.fromkeys([None, self.fingerprint]))
        return fitting + [reserve(one) for one in fitting if self.sources.has_any]

    def count(self, shard: ShardMessage, seconds: float) -> None:
        """Count its images, and what they took."""
        self._busy_seconds += seconds
        self._images += len(shard.images)

    def record(self) -> WorkerRecord:
        """Return the record that `tapeworks workers` shows."""
        busy = "busy" if self._shard else "idle"
        return WorkerRecord(
            name=self.name,
            host=self._host,
            pid=os.getpid(),
            since=self._since.isoformat(timespec="seconds"),
            state=busy if self.fingerprint else "starting",
            shard_in_hand=self._shard,
            images=self._images,
            busy_seconds=self._busy_seconds,
            images_per_second=self._images / self._busy_seconds if self._busy_seconds else 0.0,
            memory_mb=self._process.memory_info().rss / 1e6,
            fingerprint=self.fingerprint,
            version=tapeworks_version(),
            python=python_version(),
            tensorflow=tensorflow_version(),
            cores=self._cores,
            clock=datetime.now(UTC).isoformat(),
            signing_key=self.exchange.signer.key_id,
        )

    def _beat(self) -> None:
        while not self._leaving.wait(HEARTBEAT_SECONDS):
            _end_without_supervisor()
            try:
                with self._outages.watch():
                    self._watch(self._register())
            except Exception:  # the thread must live on, it looks after the supervisor too
                logger.exception("This worker cannot be registered", extra={"event": "bug"})

    def _register(self) -> int:
        """Show itself; return how many messages wait."""
        try:
            return self.exchange.register_worker(self.record(), self.queues)
        except RedisRefused as error:  # its password was changed: only a new start helps
            logger.critical("Worker %s ends itself: %s", self.name, error)
            os._exit(REFUSED)

    def _watch(self, waiting: int) -> None:
        """End this process if it takes none of the messages; its supervisor starts another."""
        if self.fingerprint is None:
            return  # it takes nothing yet
        if self._watchdog.beat(self._taken, waiting, busy=self._in_hand):
            logger.error(
                "Worker %s ends itself: it took nothing for %d heartbeats while messages waited "
                "in the queue, now %d.",
                self.name,
                IDLE_HEARTBEATS,
                waiting,
                extra={"event": "worker_ends_itself", "worker": self.name},
            )
            self.stop()
            os._exit(NOT_CONSUMING)  # whatever hangs, hangs in the thread that would end in order


def _end_without_supervisor() -> None:
    """A supervisor that was killed cannot stop its workers, so they stop themselves."""
    supervisor = Settings(os.environ).supervisor_pid
    if supervisor is not None and os.getppid() != supervisor:
        os.kill(os.getpid(), signal.SIGKILL)
