"""The schedulers and workers at one Redis, and the runs in progress.

Whatever is read has a limit: no more of it is read than it may be long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis
from pydantic import TypeAdapter, ValidationError

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.own.allowed import source_digest
from tapeworks.wire import redis_client
from tapeworks.wire.envelopes import reserve
from tapeworks.wire.errors import RedisUnreachable, SignatureWrong
from tapeworks.wire.keys import (
    IN_PROGRESS_SECONDS,
    RUN_SECONDS,
    RUNS_KEY,
    SCHEDULER_SECONDS,
    SCHEDULERS_KEY,
    SOURCE_SECONDS,
    WORKER_SECONDS,
    WORKERS_KEY,
    arrivals_key,
    current_key,
    in_progress_key,
    network_key,
    quarantine_key,
    queue_key,
    scheduler_key,
    source_key,
    worker_key,
)
from tapeworks.wire.limits import (
    LARGEST_CURRENT_BYTES,
    LARGEST_NETWORK_BYTES,
    LARGEST_READING_BYTES,
    LARGEST_RECORD_BYTES,
    LARGEST_SOURCE_BYTES,
    LONGEST_NAME,
    MOST_RUNS,
    MOST_WORKERS,
)
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord
from tapeworks.wire.signing import REMEDY, UNSIGNED, Purpose, Signer

_Shown = WorkerRecord | SchedulerRecord
_Record = TypeVar("_Record", WorkerRecord, SchedulerRecord)


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The state of Redis as a run's scheduler sees it once a second."""

    server_id: str  #: another one after a restart
    memory_use: float  #: the used part of the memory that Redis may use; 0 without a limit
    knows_run: bool  #: Redis holds where the run stands; if it did and does not, it was emptied
    queue_length: int  #: messages that this run's workers may take, of all runs
    runs: int  #: in progress
    workers: list[WorkerRecord]


#: Reads any kind of network.
_NETWORK: TypeAdapter[AnyNetwork] = TypeAdapter(AnyNetwork)


class Registry:
    """The runs, schedulers and workers at one Redis. Every method may raise `RedisUnreachable`.

    One that only `looks` leaves the names of those who are gone to the others.
    """

    def __init__(self, url: str, signer: Signer = UNSIGNED, *, looks: bool = False) -> None:
        self.url, self.signer, self._looks = url, signer, looks
        self._redis = redis_client.connect(url)
        self._line = redis_client.Line(self._redis)

    def check(self) -> None:
        """Raise unless Redis answers and is fit for use."""
        redis_client.check(self._redis, self.url)

    def server_id(self) -> str:
        """Changes when Redis was restarted, and with it everything it held is gone."""
        with redis_client.translate_errors(self.url):
            return str(self._redis.info("server")["run_id"])

    def survey(self, run_id: str, fingerprint: str | None, *, is_reserved: bool = False) -> Survey:
        """See who and what is there, in two round trips; show that the run is in progress.

        What the run keeps here for a long time, and the queue that it uses, is kept as long as it.
        """
        with (
            redis_client.translate_errors(self.url),
            self._redis.pipeline(transaction=False) as pipe,
        ):
            pipe.info("server")
            pipe.info("memory")
            pipe.set(in_progress_key(run_id), 1, ex=IN_PROGRESS_SECONDS)
            pipe.expire(current_key(run_id), RUN_SECONDS)
            own = reserve(fingerprint) if is_reserved else fingerprint
            for key in (network_key(run_id), quarantine_key(run_id), RUNS_KEY, queue_key(own)):
                pipe.expire(key, RUN_SECONDS)
            for kind in {None, fingerprint, own}:
                pipe.llen(queue_key(kind))
            pipe.srandmember(RUNS_KEY, MOST_RUNS)
            pipe.srandmember(WORKERS_KEY, MOST_WORKERS)
            server, memory, _, knows_run, _, _, _, _, *lengths, runs, names = pipe.execute()
        in_progress = [(in_progress_key(run), 1) for run in _names(runs)]
        workers, rest = self._records(WORKERS_KEY, worker_key, WorkerRecord, names, in_progress)
        return Survey(
            server_id=str(server["run_id"]),
            memory_use=redis_client.memory_use(memory),
            knows_run=bool(knows_run),
            queue_length=sum(lengths),
            runs=sum(map(bool, rest)),
            workers=workers,
        )

    # Runs in progress

    def announce_run(self, run_id: str, network: AnyNetwork) -> None:
        """Let workers that start from now on compile this run's network before anything else."""
        sealed = self.signer.seal(Purpose.NETWORK, network.model_dump_json())
        with redis_client.translate_errors(self.url), self._redis.pipeline() as pipe:
            pipe.set(network_key(run_id), sealed, ex=RUN_SECONDS)
            pipe.sadd(RUNS_KEY, run_id)
            pipe.expire(RUNS_KEY, RUN_SECONDS)
            pipe.execute()

    def publish_source(self, source: str) -> None:
        """Put a user's source text where workers that accept any find it.

        Without a key nothing is: nobody would take what is not signed.
        """
        if self.signer.key:
            sealed = self.signer.seal(Purpose.SOURCE, source)
            with redis_client.translate_errors(self.url):
                self._redis.set(source_key(source_digest(source)), sealed, ex=SOURCE_SECONDS)

    def fetch_source(self, digest: str) -> str | None:
        """Return a user's source text; None if it is gone.

        Raises `SignatureWrong` for one that this process's key does not vouch for, or that has
        another digest.
        """
        with redis_client.translate_errors(self.url):
            sealed = self._read(source_key(digest), LARGEST_SOURCE_BYTES)
        if not sealed:
            return None
        if not self.signer.key:
            raise SignatureWrong(f"there is no key here to check it with. {REMEDY}.")
        source = self.signer.unseal(Purpose.SOURCE, as_text(sealed))
        if source_digest(source) != digest:
            raise SignatureWrong("it is another text, of another digest.")
        return source

    def quarantine(self, run_id: str, workers: Iterable[str]) -> None:
        """Remember that these workers do not serve the run any more."""
        names = list(workers)
        if names:
            with redis_client.translate_errors(self.url), self._redis.pipeline() as pipe:
                pipe.sadd(quarantine_key(run_id), *names)
                pipe.expire(quarantine_key(run_id), RUN_SECONDS)
                pipe.execute()

    def read_quarantined(self, run_id: str) -> set[str]:
        """The workers that are quarantined for the run."""
        with redis_client.translate_errors(self.url):
            return set(self._members(quarantine_key(run_id), MOST_WORKERS))

    def forget_run(self, run_id: str, term: int) -> None:
        """Remove what a run left here, but for content that other runs may share.

        What a later term has announced since then is left to its owner.
        """
        with redis_client.translate_errors(self.url), self._redis.pipeline() as pipe:
            current = self._read(current_key(run_id), LARGEST_CURRENT_BYTES)
            if not current or current.startswith(b"%d:" % term):
                keys = (arrivals_key, current_key, network_key, in_progress_key)
                pipe.delete(*[key(run_id) for key in keys])
                pipe.srem(RUNS_KEY, run_id)
                pipe.execute()

    def networks(self) -> list[AnyNetwork]:
        """Networks of the runs in progress, as far as they are signed as they should be."""
        return [network for value in self._read_announced() if (network := self._network(value))]

    def reads_no_run(self) -> bool:
        """Return whether runs are in progress, but the network of none of them can be read."""
        values = self._read_announced()
        return bool(values) and not any(map(self._network, values))

    def _read_announced(self) -> list[bytes]:
        with redis_client.translate_errors(self.url):
            runs = self._members(RUNS_KEY, MOST_RUNS)
            limits = ((network_key(run), LARGEST_NETWORK_BYTES) for run in runs)
            return list(self._values(limits))

    def _network(self, value: bytes) -> AnyNetwork | None:
        try:
            text = self.signer.unseal(Purpose.NETWORK, as_text(value))
            network = _NETWORK.validate_json(text)
        except (ValidationError, SignatureWrong):
            return None  # of another version, or of nobody whom we know; it only saves time
        return network if network.fits else None

    # Workers and schedulers

    def register_worker(self, record: WorkerRecord, queues: Iterable[str | None] = (None,)) -> int:
        """Refresh a worker's record, which vanishes when this is no longer called.

        Returns how many messages wait in these queues.
        """
        key = worker_key(record.name)
        return self._register(WORKERS_KEY, key, record, WORKER_SECONDS, queues)

    def deregister_worker(self, name: str) -> None:
        """Remove a worker's record at once, because it is leaving."""
        self._deregister(WORKERS_KEY, worker_key(name), name)

    def workers(self) -> list[WorkerRecord]:
        """The workers that were alive in the last seconds, by name; forgets the others."""
        return self._registered(WORKERS_KEY, worker_key, WorkerRecord)

    def register_scheduler(self, record: SchedulerRecord) -> None:
        """Refresh a scheduler's record; it vanishes when this is no longer called."""
        self._register(SCHEDULERS_KEY, scheduler_key(record.name), record, SCHEDULER_SECONDS)

    def deregister_scheduler(self, name: str) -> None:
        """Remove a scheduler's record at once, because it is leaving."""
        self._deregister(SCHEDULERS_KEY, scheduler_key(name), name)

    def schedulers(self) -> list[SchedulerRecord]:
        """The schedulers that were alive in the last seconds, by name; forgets the others."""
        return self._registered(SCHEDULERS_KEY, scheduler_key, SchedulerRecord)

    def list_visible_schedulers(self) -> list[SchedulerRecord] | None:
        """The same; None if this user may not see them, as a worker's may not."""
        try:
            return self.schedulers()
        except RedisUnreachable as error:
            if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
                return None
            raise

    def list_quarantined(self) -> dict[str, list[str]]:
        """The runs in progress for which a worker is quarantined, by the worker's name."""
        with redis_client.translate_errors(self.url):
            runs = self._members(RUNS_KEY, MOST_RUNS)
        found: dict[str, list[str]] = {}
        for run in runs:
            for name in self.read_quarantined(run):
                found.setdefault(name, []).append(run)
        return found

    def queue_length(self, fingerprints: Iterable[str | None] = ()) -> int:
        """Count the messages that no worker has taken: for any, and for these fingerprints."""
        with (
            redis_client.translate_errors(self.url),
            self._redis.pipeline(transaction=False) as pipe,
        ):
            for fingerprint in {None, *fingerprints}:
                pipe.llen(queue_key(fingerprint))
                pipe.llen(queue_key(reserve(fingerprint)))
            return sum(map(int, pipe.execute()))

    def _register(
        self,
        names_key: str,
        key: str,
        record: _Shown,
        seconds: int,
        queues: Iterable[str | None] = (),
    ) -> int:
        """Refresh a record; return the lengths' sum of these fingerprints' queues."""
        lengths = [("LLEN", queue_key(fingerprint)) for fingerprint in queues]
        with redis_client.translate_errors(self.url):
            _, _, _, *waiting = self._line.ask(
                ("SET", key, record.model_dump_json(), "EX", seconds),
                ("SADD", names_key, record.name),
                ("EXPIRE", names_key, RUN_SECONDS),
                *lengths,
            )
        return sum(waiting)

    def _deregister(self, names_key: str, key: str, name: str) -> None:
        with redis_client.translate_errors(self.url), self._redis.pipeline() as pipe:
            pipe.delete(key)
            pipe.srem(names_key, name)
            pipe.execute()

    def _registered(
        self, names_key: str, key_of: Callable[[str], str], kind: type[_Record]
    ) -> list[_Record]:
        with redis_client.translate_errors(self.url):
            names = self._redis.srandmember(names_key, MOST_WORKERS)
            records, _ = self._records(names_key, key_of, kind, names)
        return records

    def _records(
        self,
        names_key: str,
        key_of: Callable[[str], str],
        kind: type[_Record],
        members: Any,
        others: Sequence[tuple[str, int]] = (),
    ) -> tuple[list[_Record], list[bytes]]:
        """Read the records of these names, and other strings with them; forget who has none."""
        names = _names(members)
        asked: list[tuple[str, int]] = [(key_of(name), LARGEST_RECORD_BYTES) for name in names]
        with redis_client.translate_errors(self.url):
            values = list(self._values([*asked, *others]))
            found, rest = values[: len(names)], values[len(names) :]
            gone = [name for name, value in zip(names, found, strict=True) if not value]
            if gone and not self._looks:
                self._redis.srem(names_key, *gone)
        return [record for value in found if (record := _record(kind, value))], rest

    def _members(self, key: str, most: int) -> list[str]:
        """A set's members in order, no more than so many; what is too long for a name is none."""
        return _names(self._redis.srandmember(key, most))

    def _read(self, key: str, largest_bytes: int) -> bytes:
        """A string, empty if there is none or if it is longer than that; then it is not read on."""
        [value] = self._values([(key, largest_bytes)])
        return value

    def _values(self, limits: Iterable[tuple[str, int]]) -> Iterator[bytes]:
        """Read strings by key, each as `_read` does, in few round trips."""
        for batch in batches(limits):
            values = self._line.ask(*(("GETRANGE", key, 0, most) for key, most in batch))
            for value, (_, most) in zip(values, batch, strict=True):
                yield value if len(value) <= most else b""


def _names(members: Any) -> list[str]:
    return sorted(as_text(member) for member in members or () if len(member) <= LONGEST_NAME)


def batches(limits: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    """Cut keys into lists whose limits come to no more than one round trip may bring."""
    batch, size = list[tuple[str, int]](), 0
    for key, most in limits:
        if batch and size + most > LARGEST_READING_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((key, most))
        size += most
    if batch:
        yield batch


def as_text(value: bytes | str) -> str:
    """Text of bytes that may be none."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _record(kind: type[_Record], value: bytes) -> _Record | None:
    """None too for what is not understood: it informs people, no more."""
    try:
        return kind.model_validate_json(value) if value else None
    except ValidationError:
        return None
