"""The exchange through Redis, both ends."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from model.config import NetworkConfig
from model.parameters import digest
from workers import redis_client
from workers.crash_points import CrashPoint, crash_point
from workers.entries import entry, queue_name
from workers.errors import MessageUnreadable, SignatureWrong
from workers.keys import (
    ANSWER_SECONDS,
    IN_PROGRESS_SECONDS,
    RETIRED_SECONDS,
    RUN_SECONDS,
    RUNS_KEY,
    SCHEDULER_SECONDS,
    SCHEDULERS_KEY,
    WORKER_SECONDS,
    WORKERS_KEY,
    answer_key,
    arrivals_key,
    aside_key,
    current_key,
    in_progress_key,
    network_key,
    payload_key,
    queue_key,
    scheduler_key,
    withdrawn_key,
    worker_key,
)
from workers.limits import (
    LARGEST_CURRENT_BYTES,
    LARGEST_HEADER_BYTES,
    LARGEST_NETWORK_BYTES,
    LARGEST_RECORD_BYTES,
    LONGEST_NAME,
    MOST_RUNS,
    MOST_WORKERS,
)
from workers.messages import AnswerHeader, SchedulerRecord, ShardMessage, WorkerRecord
from workers.signing import SIGNATURE_DIGITS, UNSIGNED, Purpose, Signer

_Shown = WorkerRecord | SchedulerRecord
_Record = TypeVar("_Record", WorkerRecord, SchedulerRecord)

#: What stands before an answer's arrays: signature and header, each with the line's end.
LARGEST_HEAD_BYTES = SIGNATURE_DIGITS + 1 + LARGEST_HEADER_BYTES + 1

#: Where a run stands, as it is announced.
_CURRENT = re.compile(rb"(\d{1,10}):(\d{1,10})")


class Exchange:
    """Redis, as scheduler and workers use it. Every method may raise `RedisUnreachable`.

    Whoever has a key signs what others act upon, and acts upon nothing that is not signed.
    """

    def __init__(self, url: str, signer: Signer = UNSIGNED) -> None:
        self.url, self.signer = url, signer
        self._redis = redis_client.connect(url)

    def check(self) -> None:
        """Raise unless Redis answers and is fit for use."""
        redis_client.check(self._redis, self.url)

    def server_id(self) -> str:
        """Changes when Redis was restarted, and with it everything it held is gone."""
        with redis_client.translated(self.url):
            return str(self._redis.info("server")["run_id"])

    def memory_use(self) -> float:
        """The used part of the memory that Redis may use; 0 where it has no limit."""
        with redis_client.translated(self.url):
            return redis_client.memory_use(self._redis.info("memory"))

    # Scheduler to workers

    def publish(self, payload: bytes, lifetime_seconds: int) -> None:
        """Put images or parameters where workers find them, by their digest."""
        with redis_client.translated(self.url):
            self._redis.set(payload_key(digest(payload)), payload, ex=lifetime_seconds)

    def retire(self, content_digest: str) -> None:
        """Let parameters go soon that this run is done with, however long runs are.

        A run that has the same ones at that time publishes them again when a worker misses them.
        """
        with redis_client.translated(self.url):
            self._redis.expire(payload_key(content_digest), RETIRED_SECONDS)

    def announce_run(self, run_id: str, network: NetworkConfig) -> None:
        """Let workers that start from now on compile this run's network before anything else."""
        sealed = self.signer.seal(Purpose.NETWORK, network.model_dump_json())
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.set(network_key(run_id), sealed, ex=RUN_SECONDS)
            pipe.sadd(RUNS_KEY, run_id)
            pipe.expire(RUNS_KEY, RUN_SECONDS)
            pipe.execute()

    def announce_iteration(self, run_id: str, epoch: int, iteration: int) -> None:
        """Let workers drop messages of earlier iterations unread."""
        with redis_client.translated(self.url):
            self._redis.set(current_key(run_id), f"{epoch}:{iteration}", ex=RUN_SECONDS)

    def keeps(self, run_id: str, fingerprint: str | None = None) -> bool:
        """Show that the run is in progress; return whether Redis still knows where it stands.

        If it does not, it was emptied. The queue that the run uses is kept as long as the run.
        """
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.set(in_progress_key(run_id), 1, ex=IN_PROGRESS_SECONDS)
            pipe.expire(queue_key(fingerprint), RUN_SECONDS)
            pipe.exists(current_key(run_id))
            *_, exists = pipe.execute()
        return bool(exists)

    def runs_in_progress(self) -> int:
        """Runs that share the workers."""
        with redis_client.translated(self.url):
            runs = self._members(RUNS_KEY, MOST_RUNS)
            return sum(map(bool, self._values(map(in_progress_key, runs), 1)))

    def set_aside(self, run_id: str, workers: Iterable[str]) -> None:
        """Remember that these workers do not serve the run any more."""
        names = list(workers)
        if names:
            with redis_client.translated(self.url), self._redis.pipeline() as pipe:
                pipe.sadd(aside_key(run_id), *names)
                pipe.expire(aside_key(run_id), RUN_SECONDS)
                pipe.execute()

    def aside(self, run_id: str) -> set[str]:
        """The workers that are set aside for the run."""
        with redis_client.translated(self.url):
            return set(self._members(aside_key(run_id), MOST_WORKERS))

    def forget_run(self, run_id: str, epoch: int) -> None:
        """Remove what a run left here, but for content that other runs may share.

        What a later epoch has announced since then is left to its owner.
        """
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            current = self._read(current_key(run_id), LARGEST_CURRENT_BYTES)
            if not current or current.startswith(b"%d:" % epoch):
                keys = (arrivals_key, current_key, network_key, in_progress_key)
                pipe.delete(*[key(run_id) for key in keys])
                pipe.srem(RUNS_KEY, run_id)
                pipe.execute()

    def send(self, messages: Iterable[ShardMessage]) -> None:
        """Put messages on their queues. After `RedisUnreachable` they may be there or not."""
        entries = defaultdict[str | None, list[bytes]](list)
        for message in messages:
            sealed = self.signer.seal(Purpose.MESSAGE, message.model_dump_json())
            entries[message.fingerprint].append(entry(sealed, queue_name(message.fingerprint)))
        with redis_client.translated(self.url), self._redis.pipeline(transaction=False) as pipe:
            for fingerprint, ready in entries.items():
                pipe.lpush(queue_key(fingerprint), *ready)
            pipe.execute()

    def withdraw(self, attempts: Iterable[str]) -> None:
        """Let workers drop these attempts unread: what they ask for is counted."""
        with redis_client.translated(self.url), self._redis.pipeline(transaction=False) as pipe:
            for attempt_id in attempts:
                pipe.set(withdrawn_key(attempt_id), 1, ex=ANSWER_SECONDS)
            pipe.execute()

    # Workers to scheduler

    def fetch(self, content_digest: str, largest_bytes: int) -> bytes | None:
        """Images or parameters by digest; None if they are gone or not what they should be."""
        with redis_client.translated(self.url):
            payload = self._read(payload_key(content_digest), largest_bytes)
        return payload if payload and digest(payload) == content_digest else None

    def is_stale(self, message: ShardMessage) -> bool:
        """Return whether the run is past this message or has ended, or it was withdrawn."""
        with redis_client.translated(self.url), self._redis.pipeline(transaction=False) as pipe:
            pipe.getrange(current_key(message.run_id), 0, LARGEST_CURRENT_BYTES)
            pipe.exists(withdrawn_key(message.attempt_id))
            current, is_withdrawn = pipe.execute()
        if not current or is_withdrawn:
            return True
        found = _CURRENT.fullmatch(current)  # what cannot be read spares no work
        stands_at = (int(found[1]), int(found[2])) if found else (0, 0)
        return stands_at > (message.epoch, message.iteration)

    def open_message(self, sealed: str) -> ShardMessage:
        """A shard's message out of the queue, verified before it is read.

        Raises `SignatureWrong`, `MessageUnreadable`.
        """
        text = self.signer.unseal(Purpose.MESSAGE, sealed)
        try:
            return ShardMessage.model_validate_json(text)
        except ValidationError as error:
            raise MessageUnreadable(
                "a scheduler of this version sends no such messages; install the same version of "
                "Tapeworks everywhere."
            ) from error

    def answer(self, header: AnswerHeader, arrays: bytes) -> None:
        """Write an answer and announce it, in one transaction."""
        head = header.model_dump_json().encode()
        signature = self.signer.signature(Purpose.ANSWER, head, arrays).encode()
        key, arrivals = answer_key(header.attempt_id), arrivals_key(header.run_id)
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.set(key, packed(signature, head, arrays), ex=ANSWER_SECONDS)
            pipe.rpush(arrivals, header.attempt_id)
            pipe.expire(arrivals, ANSWER_SECONDS)
            crash_point(CrashPoint.ANSWER_PREPARED)
            pipe.execute()

    def next_arrival(self, run_id: str, timeout_seconds: float) -> str | None:
        """The next attempt that has answered, waiting at most so long."""
        with redis_client.translated(self.url):
            arrival = self._redis.blpop([arrivals_key(run_id)], timeout=timeout_seconds)
        return _text(arrival[1]) if arrival and len(arrival[1]) <= LONGEST_NAME else None

    def drop_answer(self, attempt_id: str) -> None:
        """Remove an answer that nobody waits for, unread."""
        with redis_client.translated(self.url):
            self._redis.unlink(answer_key(attempt_id))

    def take_answer(self, attempt_id: str, largest_bytes: int) -> tuple[bytes, bytes] | None:
        """An answer's header and arrays, removed from Redis; None if there is none.

        No more is read than a valid one has: one that is longer comes back as two empty strings.
        Raises `SignatureWrong`.
        """
        key, most = answer_key(attempt_id), LARGEST_HEAD_BYTES + largest_bytes
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.getrange(key, 0, most)
            pipe.unlink(key)
            value, existed = pipe.execute()
        if not existed:
            return None
        signature, head, arrays = unpacked(value)
        if len(value) > most or len(arrays) > largest_bytes:
            return b"", b""
        self.signer.check(signature, Purpose.ANSWER, head, arrays)
        return head, arrays

    def queue_length(self, fingerprints: Iterable[str | None] = ()) -> int:
        """Count the messages that no worker has taken: for any, and for these fingerprints."""
        with redis_client.translated(self.url), self._redis.pipeline(transaction=False) as pipe:
            for fingerprint in {None, *fingerprints}:
                pipe.llen(queue_key(fingerprint))
            return sum(map(int, pipe.execute()))

    # Workers and schedulers to people

    def show_worker(self, record: WorkerRecord) -> None:
        """Refresh a worker's record; it vanishes when this is no longer called."""
        self._show(WORKERS_KEY, worker_key(record.name), record, WORKER_SECONDS)

    def hide_worker(self, name: str) -> None:
        """Remove a worker's record at once, because it is leaving."""
        self._hide(WORKERS_KEY, worker_key(name), name)

    def workers(self) -> list[WorkerRecord]:
        """The workers that were alive in the last seconds, by name; forgets the others."""
        return self._shown(WORKERS_KEY, worker_key, WorkerRecord)

    def show_scheduler(self, record: SchedulerRecord) -> None:
        """Refresh a scheduler's record; it vanishes when this is no longer called."""
        self._show(SCHEDULERS_KEY, scheduler_key(record.name), record, SCHEDULER_SECONDS)

    def hide_scheduler(self, name: str) -> None:
        """Remove a scheduler's record at once, because it is leaving."""
        self._hide(SCHEDULERS_KEY, scheduler_key(name), name)

    def schedulers(self) -> list[SchedulerRecord]:
        """The schedulers that were alive in the last seconds, by name; forgets the others."""
        return self._shown(SCHEDULERS_KEY, scheduler_key, SchedulerRecord)

    def set_aside_workers(self) -> dict[str, list[str]]:
        """The runs in progress for which a worker is set aside, by the worker's name."""
        with redis_client.translated(self.url):
            runs = self._members(RUNS_KEY, MOST_RUNS)
        found: dict[str, list[str]] = {}
        for run in runs:
            for name in self.aside(run):
                found.setdefault(name, []).append(run)
        return found

    def networks(self) -> list[NetworkConfig]:
        """Networks of the runs in progress, as far as they are signed as they should be."""
        return [network for value in self._announced() if (network := self._network(value))]

    def reads_no_run(self) -> bool:
        """Return whether runs are in progress, but the network of none of them can be read."""
        values = self._announced()
        return bool(values) and not any(map(self._network, values))

    def _announced(self) -> list[bytes]:
        with redis_client.translated(self.url):
            runs = self._members(RUNS_KEY, MOST_RUNS)
            return list(self._values(map(network_key, runs), LARGEST_NETWORK_BYTES))

    def _network(self, value: bytes) -> NetworkConfig | None:
        try:
            text = self.signer.unseal(Purpose.NETWORK, _text(value))
            network = NetworkConfig.model_validate_json(text)
        except (ValidationError, SignatureWrong):
            return None  # of another version, or of nobody whom we know; it only saves time
        return network if network.fits else None

    def _show(self, names_key: str, key: str, record: _Shown, seconds: int) -> None:
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.set(key, record.model_dump_json(), ex=seconds)
            pipe.sadd(names_key, record.name)
            pipe.expire(names_key, RUN_SECONDS)
            pipe.execute()

    def _hide(self, names_key: str, key: str, name: str) -> None:
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.delete(key)
            pipe.srem(names_key, name)
            pipe.execute()

    def _shown(
        self, names_key: str, key_of: Callable[[str], str], kind: type[_Record]
    ) -> list[_Record]:
        with redis_client.translated(self.url):
            names = self._members(names_key, MOST_WORKERS)
            values = self._values(map(key_of, names), LARGEST_RECORD_BYTES)
            gone = [name for name, value in zip(names, values, strict=True) if not value]
            if gone:
                self._redis.srem(names_key, *gone)
        return [record for value in values if (record := _record(kind, value))]

    def _members(self, key: str, most: int) -> list[str]:
        """A set's members in order, no more than so many; what is too long for a name is none."""
        members: Any = self._redis.srandmember(key, most)
        return sorted(_text(member) for member in members or () if len(member) <= LONGEST_NAME)

    def _read(self, key: str, largest_bytes: int) -> bytes:
        """A string, empty if there is none or if it is longer than that; then it is not read on."""
        [value] = self._values([key], largest_bytes)
        return value

    def _values(self, keys: Iterable[str], largest_bytes: int) -> list[bytes]:
        with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.getrange(key, 0, largest_bytes)
            return [value if len(value) <= largest_bytes else b"" for value in pipe.execute()]


def packed(signature: bytes, header: bytes, arrays: bytes) -> bytes:
    """An answer as it lies in Redis; the signature is empty without a key."""
    return b"\n".join((signature, header, arrays))


def unpacked(answer: bytes) -> tuple[bytes, bytes, bytes]:
    """Signature, header and arrays of an answer; all of them empty if it has no such form."""
    first = answer.find(b"\n", 0, SIGNATURE_DIGITS + 1)
    second = answer.find(b"\n", first + 1, first + 1 + LARGEST_HEADER_BYTES + 1)
    if first < 0 or second < 0:
        return b"", b"", b""
    return answer[:first], answer[first + 1 : second], answer[second + 1 :]


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _record(kind: type[_Record], value: bytes) -> _Record | None:
    """None too for what is not understood: it informs people, no more."""
    try:
        return kind.model_validate_json(value) if value else None
    except ValidationError:
        return None
