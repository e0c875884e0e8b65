"""The exchange through Redis, both ends."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from model.parameters import digest
from workers import redis_client
from workers.crash_points import CrashPoint, crash_point
from workers.entries import entry, queue_name
from workers.errors import MessageUnreadable
from workers.keys import (
    ANSWER_SECONDS,
    RETIRED_SECONDS,
    RUN_SECONDS,
    answer_key,
    arrivals_key,
    current_key,
    payload_key,
    queue_key,
    withdrawn_key,
)
from workers.limits import (
    LARGEST_CURRENT_BYTES,
    LARGEST_HEADER_BYTES,
    LONGEST_NAME,
)
from workers.messages import AnswerHeader, ShardMessage
from workers.registry import Registry, as_text
from workers.signing import SIGNATURE_DIGITS, Purpose

#: Images and parameters, by digest.
Payloads = dict[str, bytes]

#: What stands before an answer's arrays: signature and header, each with the line's end.
LARGEST_HEAD_BYTES = SIGNATURE_DIGITS + 1 + LARGEST_HEADER_BYTES + 1

#: Where a run stands, as it is announced.
_CURRENT = re.compile(rb"(\d{1,10}):(\d{1,10})")


class Exchange(Registry):
    """Redis, as scheduler and workers use it. Every method may raise `RedisUnreachable`.

    Whoever has a key signs what others act upon, and acts upon nothing that is not signed.
    """

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

    def announce_iteration(self, run_id: str, epoch: int, iteration: int) -> None:
        """Let workers drop messages of earlier iterations unread."""
        with redis_client.translated(self.url):
            self._redis.set(current_key(run_id), f"{epoch}:{iteration}", ex=RUN_SECONDS)

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

    def look(self, message: ShardMessage, limits: Mapping[str, int]) -> tuple[bool, Payloads]:
        """Return whether the message is stale, and payloads as `fetch` does, in one round trip.

        It is if its run is past it or has ended, or if it was withdrawn.
        """
        with redis_client.translated(self.url), self._redis.pipeline(transaction=False) as pipe:
            pipe.getrange(current_key(message.run_id), 0, LARGEST_CURRENT_BYTES)
            pipe.exists(withdrawn_key(message.attempt_id))
            for name, most in limits.items():
                pipe.getrange(payload_key(name), 0, most)
            current, is_withdrawn, *values = pipe.execute()
        is_stale = is_withdrawn or _is_past(current, message)
        return is_stale, _verified(limits, values)

    def fetch(self, limits: Mapping[str, int]) -> Payloads:
        """Images and parameters by digest, each of no more than so many bytes.

        What is gone, or is not what its digest says, is left out.
        """
        with redis_client.translated(self.url):
            values = self._values((payload_key(name), most) for name, most in limits.items())
            return _verified(limits, values)

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
        return as_text(arrival[1]) if arrival and len(arrival[1]) <= LONGEST_NAME else None

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


def _verified(limits: Mapping[str, int], values: Iterable[bytes]) -> Payloads:
    """Return those values that are no longer than they may be and have the right digest."""
    named = zip(limits.items(), values, strict=True)
    return {name: v for (name, most), v in named if 0 < len(v) <= most and digest(v) == name}


def _is_past(current: bytes, message: ShardMessage) -> bool:
    """Return whether a run that stands there, nowhere if it has ended, is past this message."""
    if not current:
        return True
    found = _CURRENT.fullmatch(current)  # what cannot be read spares no work
    stands_at = (int(found[1]), int(found[2])) if found else (0, 0)
    return stands_at > (message.epoch, message.iteration)
