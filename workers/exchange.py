"""What passes through Redis, both ends: keys, bytes and lifetimes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from model.config import NetworkConfig
from model.parameters import digest
from workers import redis_client
from workers.crash_points import CrashPoint, crash_point
from workers.messages import AnswerHeader, SchedulerRecord, ShardMessage, WorkerRecord

#: Every key of ours starts with it, Celery's too.
PREFIX = "tapeworks:"

#: The one queue.
QUEUE = "shards"

#: Lifetimes in seconds. What expires while it is still needed is published again.
IMAGES_SECONDS = 3600
PARAMETERS_SECONDS = 600
ANSWER_SECONDS = 600
RUN_SECONDS = 3600
WORKER_SECONDS = 5
SCHEDULER_SECONDS = 5
IN_PROGRESS_SECONDS = 5

#: An answer's header is a few hundred bytes and the numbers of its microbatches.
LARGEST_HEADER_BYTES = 2**20

_Shown = WorkerRecord | SchedulerRecord
_Record = TypeVar("_Record", WorkerRecord, SchedulerRecord)
_Value = TypeVar("_Value", bound=BaseModel)


def payload_key(content_digest: str) -> str:
    """Images or parameters, named by what they are."""
    return f"{PREFIX}payload:{content_digest}"


def answer_key(attempt_id: str) -> str:
    """A hash of `header` (JSON) and `arrays` (safetensors)."""
    return f"{PREFIX}answer:{attempt_id}"


def arrivals_key(run_id: str) -> str:
    """List of the attempts that have answered, to this owner of the run or to an earlier one."""
    return f"{PREFIX}arrivals:{run_id}"


def current_key(run_id: str) -> str:
    """The `epoch:iteration` that the run stands at; advisory, spares work on stale messages."""
    return f"{PREFIX}current:{run_id}"


def aside_key(run_id: str) -> str:
    """Set of the workers that are set aside for the run."""
    return f"{PREFIX}aside:{run_id}"


def in_progress_key(run_id: str) -> str:
    """There as long as some scheduler drives the run."""
    return f"{PREFIX}in-progress:{run_id}"


def network_key(run_id: str) -> str:
    """The network of a run in progress, for workers that start in the middle of it."""
    return f"{PREFIX}network:{run_id}"


def worker_key(name: str) -> str:
    """A worker's latest record."""
    return f"{PREFIX}worker:{name}"


def scheduler_key(name: str) -> str:
    """A scheduler's latest record."""
    return f"{PREFIX}scheduler:{name}"


WORKERS_KEY = f"{PREFIX}workers"  #: set of the workers' names
SCHEDULERS_KEY = f"{PREFIX}schedulers"  #: set of the schedulers' names
RUNS_KEY = f"{PREFIX}runs"  #: set of the runs in progress
QUEUE_KEY = f"{PREFIX}{QUEUE}"  #: list of messages that no worker has taken, kept by Celery


class Exchange:
    """Redis, as scheduler and workers use it. Every method may raise `RedisUnreachable`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._redis = redis_client.connect(url)

    def check(self) -> None:
        """Raise unless Redis answers and is fit for use."""
        redis_client.check(self._redis, self.url)

    def server_id(self) -> str:
        """Changes when Redis was restarted, and with it everything it held is gone."""
        with redis_client.translated(self.url):
            return str(self._redis.info("server")["run_id"])

    # Scheduler to workers

    def publish(self, payload: bytes, lifetime_seconds: int) -> None:
        """Put images or parameters where workers find them, by their digest."""
        with redis_client.translated(self.url):
            self._redis.set(payload_key(digest(payload)), payload, ex=lifetime_seconds)

    def announce_run(self, run_id: str, network: NetworkConfig) -> None:
        """Let workers that start from now on compile this run's network before anything else."""
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.set(network_key(run_id), network.model_dump_json(), ex=RUN_SECONDS)
            pipe.sadd(RUNS_KEY, run_id)
            pipe.expire(RUNS_KEY, RUN_SECONDS)
            pipe.execute()

    def announce_iteration(self, run_id: str, epoch: int, iteration: int) -> None:
        """Let workers drop messages of earlier iterations unread."""
        with redis_client.translated(self.url):
            self._redis.set(current_key(run_id), f"{epoch}:{iteration}", ex=RUN_SECONDS)

    def keeps(self, run_id: str) -> bool:
        """Show that the run is in progress; whether Redis still knows where it stands.

        If it does not, it was emptied.
        """
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.set(in_progress_key(run_id), 1, ex=IN_PROGRESS_SECONDS)
            pipe.exists(current_key(run_id))
            _, exists = pipe.execute()
        return bool(exists)

    def runs_in_progress(self) -> int:
        """Runs that share the workers."""
        with redis_client.translated(self.url):
            runs = sorted(self._members(RUNS_KEY))
            return sum(
                value is not None for value in self._values(list(map(in_progress_key, runs)))
            )

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
            return set(self._members(aside_key(run_id)))

    def forget_run(self, run_id: str, epoch: int) -> None:
        """Remove what a run left here, but for content that other runs may share.

        What a later epoch has announced since then is left to its owner.
        """
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            current = self._redis.get(current_key(run_id))
            if not isinstance(current, bytes) or current.startswith(b"%d:" % epoch):
                keys = (arrivals_key, current_key, network_key, in_progress_key)
                pipe.delete(*[key(run_id) for key in keys])
                pipe.srem(RUNS_KEY, run_id)
                pipe.execute()

    # Workers to scheduler

    def fetch(self, content_digest: str) -> bytes | None:
        """Images or parameters by digest; None if they are gone or not what they should be."""
        with redis_client.translated(self.url):
            payload = self._redis.get(payload_key(content_digest))
        if not isinstance(payload, bytes) or digest(payload) != content_digest:
            return None
        return payload

    def is_stale(self, message: ShardMessage) -> bool:
        """Whether the run has moved past this message, or has ended."""
        with redis_client.translated(self.url):
            current = self._redis.get(current_key(message.run_id))
        if not isinstance(current, bytes):
            return True
        epoch, _, iteration = current.partition(b":")
        return (int(epoch), int(iteration)) > (message.epoch, message.iteration)

    def answer(self, header: AnswerHeader, arrays: bytes) -> None:
        """Write an answer and announce it, in one transaction."""
        fields: dict[Any, Any] = {"header": header.model_dump_json(), "arrays": arrays}
        arrivals = arrivals_key(header.run_id)
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.hset(answer_key(header.attempt_id), mapping=fields)
            pipe.expire(answer_key(header.attempt_id), ANSWER_SECONDS)
            pipe.rpush(arrivals, header.attempt_id)
            pipe.expire(arrivals, ANSWER_SECONDS)
            crash_point(CrashPoint.ANSWER_PREPARED)
            pipe.execute()

    def next_arrival(self, run_id: str, timeout_seconds: float) -> str | None:
        """The next attempt that has answered, waiting at most so long."""
        with redis_client.translated(self.url):
            arrival = self._redis.blpop([arrivals_key(run_id)], timeout=timeout_seconds)
        return _text(arrival[1]) if arrival else None

    def drop_answer(self, attempt_id: str) -> None:
        """Remove an answer that nobody waits for, unread."""
        with redis_client.translated(self.url):
            self._redis.delete(answer_key(attempt_id))

    def take_answer(self, attempt_id: str, largest_bytes: int) -> tuple[bytes, bytes] | None:
        """An answer's header and arrays, removed from Redis; None if there is none.

        Lengths are checked before anything is read: an answer that is too long is removed unread
        and comes back as two empty strings.
        """
        key = answer_key(attempt_id)
        with redis_client.translated(self.url), self._redis.pipeline() as pipe:
            pipe.exists(key)
            pipe.hstrlen(key, "header")
            pipe.hstrlen(key, "arrays")
            exists, header_bytes, arrays_bytes = pipe.execute()
            if not exists:
                return None
            if header_bytes > LARGEST_HEADER_BYTES or arrays_bytes > largest_bytes:
                self._redis.delete(key)
                return b"", b""
            pipe.hmget(key, ["header", "arrays"])
            pipe.delete(key)
            (header, arrays), _ = pipe.execute()
        return header or b"", arrays or b""

    def queue_length(self) -> int:
        """Messages that no worker has taken yet."""
        with redis_client.translated(self.url):
            return int(self._redis.llen(QUEUE_KEY))

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
            runs = sorted(self._members(RUNS_KEY))
        found: dict[str, list[str]] = {}
        for run in runs:
            for name in self.aside(run):
                found.setdefault(name, []).append(run)
        return found

    def networks(self) -> list[NetworkConfig]:
        """Networks of the runs in progress."""
        with redis_client.translated(self.url):
            runs = sorted(self._members(RUNS_KEY))
            values = self._values([network_key(run) for run in runs])
        return [network for value in values if (network := _read(NetworkConfig, value))]

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
            names = sorted(self._members(names_key))
            values = self._values([key_of(name) for name in names])
            gone = [name for name, value in zip(names, values, strict=True) if value is None]
            if gone:
                self._redis.srem(names_key, *gone)
        return [record for value in values if (record := _read(kind, value))]

    def _members(self, key: str) -> Iterable[str]:
        return map(_text, self._redis.smembers(key))

    def _values(self, keys: list[str]) -> list[bytes | None]:
        return list(self._redis.mget(keys)) if keys else []  # type: ignore[arg-type]


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _read(kind: type[_Value], value: bytes | None) -> _Value | None:
    """None too for what is not understood: it informs people, or saves time, no more."""
    try:
        return kind.model_validate_json(value) if value else None
    except ValidationError:
        return None
