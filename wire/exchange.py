"""The exchange through Redis, both ends."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapeworks.model.parameters import digest
from tapeworks.wire import redis_client
from tapeworks.wire.envelopes import entry, queue_name, reserve
from tapeworks.wire.errors import MessageUnreadable
from tapeworks.wire.keys import (
    ANSWER_SECONDS,
    PARAMETERS_SECONDS,
    PREFIX,
    RETIRED_SECONDS,
    RUN_SECONDS,
    answer_key,
    arrivals_key,
    current_key,
    payload_key,
    queue_key,
    withdrawn_key,
)
from tapeworks.wire.limits import (
    LARGEST_CURRENT_BYTES,
    LARGEST_HEADER_BYTES,
    LONGEST_NAME,
    MOST_ARRIVALS,
)
from tapeworks.wire.messages import AnswerHeader, ShardMessage
from tapeworks.wire.registry import Registry, as_text, batches
from tapeworks.wire.signing import SIGNATURE_DIGITS, Purpose

#: Images and parameters, by digest.
Payloads = dict[str, bytes]

#: Where a run stands, as it is announced.
_CURRENT = re.compile(rb"(\d{1,10}):(\d{1,10})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """The parameters and the place in its run on which an iteration's messages rest."""

    run_id: str
    term: int
    iteration: int  #: messages of earlier ones are stale from now on
    parameters: bytes  #: safetensors
    parameters_digest: str
    retired: str = ""  #: digest of parameters that this run is done with


class Exchange(Registry):
    """Redis, as scheduler and workers use it. Every method may raise `RedisUnreachable`.

    With a key, all that others act upon is signed, and nothing unsigned is acted upon.
    """

    # Scheduler to workers

    def publish(self, payload: bytes, lifetime_seconds: int) -> None:
        """Put images or parameters where workers find them, by their digest."""
        with redis_client.translate_errors(self.url):
            self._redis.set(payload_key(digest(payload)), payload, ex=lifetime_seconds)

    def retire(self, content_digest: str) -> None:
        """Let parameters go soon that this run is done with, however long runs are.

        A run that has the same ones at that time publishes them again when a worker misses them.
        """
        with redis_client.translate_errors(self.url):
            self._redis.expire(payload_key(content_digest), RETIRED_SECONDS)

    def send(
        self,
        messages: Iterable[ShardMessage],
        opening: Opening | None = None,
        *,
        is_reserved: bool = False,
    ) -> None:
        """Put messages on their queues, behind what they rest on, in one round trip.

        Reserved, they are for workers that run users' networks. After `RedisUnreachable` any of it
        may be there or not.
        """
        entries = defaultdict[str | None, list[bytes]](list)
        for message in messages:
            sealed = self.signer.seal(Purpose.MESSAGE, message.model_dump_json())
            kind = reserve(message.fingerprint) if is_reserved else message.fingerprint
            entries[kind].append(entry(sealed, queue_name(kind)))
        commands = _opening_commands(opening) if opening else []
        commands += [("LPUSH", queue_key(kind), *ready) for kind, ready in entries.items()]
        with redis_client.translate_errors(self.url):
            self._line.ask(*commands)

    def withdraw(self, attempts: Iterable[str]) -> None:
        """Let workers drop these attempts unread: what they ask for is counted."""
        commands = [("SET", withdrawn_key(name), 1, "EX", ANSWER_SECONDS) for name in attempts]
        with redis_client.translate_errors(self.url):
            self._line.ask(*commands)

    # Workers to scheduler

    def look(self, message: ShardMessage, limits: Mapping[str, int]) -> tuple[bool, Payloads]:
        """Return whether the message is stale, and payloads as `fetch` does, in one round trip.

        It is if its run is past it or has ended, or if it was withdrawn.
        """
        with redis_client.translate_errors(self.url):
            current, is_withdrawn, *values = self._line.ask(
                ("GETRANGE", current_key(message.key.run), 0, LARGEST_CURRENT_BYTES),
                ("EXISTS", withdrawn_key(message.key.id)),
                *(("GETRANGE", payload_key(name), 0, most) for name, most in limits.items()),
            )
        is_stale = is_withdrawn or _is_past(current, message)
        return is_stale, _verify(limits, values)

    def fetch(self, limits: Mapping[str, int]) -> Payloads:
        """Images and parameters by digest, each of no more than so many bytes.

        What is gone, or is not what its digest says, is left out.
        """
        with redis_client.translate_errors(self.url):
            values = self._values((payload_key(name), most) for name, most in limits.items())
            return _verify(limits, values)

    def take_entry(self, queues: Iterable[str], seconds: float) -> tuple[bytes, bytes] | None:
        """Take the oldest entry of the first queue that has one, with its key, waiting so long."""
        with redis_client.translate_errors(self.url):
            [popped] = self._line.ask(("BRPOP", *(f"{PREFIX}{name}" for name in queues), seconds))
        return tuple(popped) if popped else None

    def open_message(self, sealed: str) -> ShardMessage:
        """A shard's message out of the queue, verified before it is read.

        Raises `SignatureWrong`, `MessageUnreadable`.
        """
        text = self.signer.unseal(Purpose.MESSAGE, sealed)
        try:
            # In two steps: each of pydantic's errors holds a copy of JSON that it has read itself.
            return ShardMessage.model_validate(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise MessageUnreadable(
                "a scheduler of this version sends no such messages; install the same version of "
                "Tapeworks everywhere."
            ) from error

    def answer(self, header: AnswerHeader, arrays: bytes) -> None:
        """Write an answer, and then announce it."""
        head = header.model_dump_json().encode()
        signature = self.signer.signature(Purpose.ANSWER, head, arrays).encode()
        key, arrivals = answer_key(header.key.id), arrivals_key(header.key.run)
        with redis_client.translate_errors(self.url):
            self._line.ask(
                ("SET", key, pack_answer(signature, head, arrays), "EX", ANSWER_SECONDS),
                ("RPUSH", arrivals, header.key.id),
                ("EXPIRE", arrivals, ANSWER_SECONDS),
            )

    def arrivals(self, run_id: str, timeout_seconds: float) -> list[str]:
        """All attempts that have answered, once there is one; none if none comes in that time."""
        key = arrivals_key(run_id)
        with redis_client.translate_errors(self.url):
            first, others = self._line.ask(
                ("BLPOP", key, timeout_seconds), ("LPOP", key, MOST_ARRIVALS)
            )
        arrived = [first[1], *(others or ())] if first else others or ()
        return [as_text(one) for one in arrived if len(one) <= LONGEST_NAME]

    def drop_answers(self, attempts: Iterable[str]) -> None:
        """Remove answers that nobody waits for, unread."""
        with redis_client.translate_errors(self.url):
            self._redis.unlink(*map(answer_key, attempts))

    def take_answers(self, limits: Mapping[str, int]) -> Iterator[tuple[str, bytes | None]]:
        """Answers as they lie in Redis, by attempt, removed from there; None if there is none.

        Each may have so many bytes: one that has more is empty. No more are read at a time than
        come to `LARGEST_READING_BYTES`.
        """
        for batch in batches(limits.items()):
            with redis_client.translate_errors(self.url):
                replies = self._line.ask_each(
                    *(("GETRANGE", answer_key(name), 0, most) for name, most in batch),
                    ("UNLINK", *(answer_key(name) for name, _ in batch)),
                )
                *values, _ = map(_read, replies)
            for (name, most), value in zip(batch, values, strict=True):
                yield name, (value if len(value) <= most else b"") if value else None

    def open_answer(self, answer: bytes) -> tuple[bytes, bytes]:
        """An answer's header and arrays, both empty if it has no such form.

        Raises `SignatureWrong`.
        """
        signature, head, arrays = unpack_answer(answer)
        self.signer.check(signature, Purpose.ANSWER, head, arrays)
        return head, arrays


def _opening_commands(opening: Opening) -> list[tuple[Any, ...]]:
    key, stands_at = payload_key(opening.parameters_digest), f"{opening.term}:{opening.iteration}"
    commands: list[tuple[Any, ...]] = [
        ("SET", key, opening.parameters, "EX", PARAMETERS_SECONDS),
        ("SET", current_key(opening.run_id), stands_at, "EX", RUN_SECONDS),
    ]
    if opening.retired not in ("", opening.parameters_digest):
        commands.append(("EXPIRE", payload_key(opening.retired), RETIRED_SECONDS))
    return commands


def _read(reply: Any) -> Any:
    """Return a reply, None where something else than a string lies; raise any other error."""
    if isinstance(reply, Exception):
        if str(reply).startswith("WRONGTYPE"):
            return None
        raise reply
    return reply


def pack_answer(signature: bytes, header: bytes, arrays: bytes) -> bytes:
    """An answer as it lies in Redis; the signature is empty without a key."""
    return b"\n".join((signature, header, arrays))


def unpack_answer(answer: bytes) -> tuple[bytes, bytes, bytes]:
    """Signature, header and arrays of an answer; all of them empty if it has no such form."""
    first = answer.find(b"\n", 0, SIGNATURE_DIGITS + 1)
    second = answer.find(b"\n", first + 1, first + 1 + LARGEST_HEADER_BYTES + 1)
    if first < 0 or second < 0:
        return b"", b"", b""
    return answer[:first], answer[first + 1 : second], answer[second + 1 :]


def _verify(limits: Mapping[str, int], values: Iterable[bytes]) -> Payloads:
    """Return those values that are no longer than they may be and have the right digest."""
    named = zip(limits.items(), values, strict=True)
    return {name: v for (name, most), v in named if 0 < len(v) <= most and digest(v) == name}


def _is_past(current: bytes, message: ShardMessage) -> bool:
    """Return whether a run that stands there, nowhere if it has ended, is past this message."""
    if not current:
        return True
    found = _CURRENT.fullmatch(current)  # what cannot be read spares no work
    stands_at = (int(found[1]), int(found[2])) if found else (0, 0)
    return stands_at > (message.key.term, message.key.iteration)
