"""Exchanges that spoil what real workers answer, before the scheduler gets to see it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tapeworks.model.parameters import from_bytes, to_bytes
from tapeworks.wire.exchange import Exchange, pack_answer, unpack_answer
from tapeworks.wire.keys import answer_key
from tapeworks.wire.messages import AnswerHeader, Status, checksum

#: An answer as it lies in Redis: the header's JSON and the arrays' safetensors.
Answer = tuple[bytes, bytes]

#: A way to spoil an answer.
Spoil = Callable[[Answer], Answer]

#: Seconds of silence after which no further arrival is waited for.
SILENCE_SECONDS = 1.0


class Tampering(Exchange):
    """An exchange whose owner can read and replace answers in Redis."""

    def peek(self, attempt_id: str) -> Answer | None:
        """The answer that lies there."""
        value = self._redis.get(answer_key(attempt_id))
        if not isinstance(value, bytes):
            return None
        _, header, arrays = unpack_answer(value)
        return header, arrays

    def put(self, attempt_id: str, answer: Answer, signature: str = "") -> None:
        """Put an answer there."""
        self._redis.set(answer_key(attempt_id), pack_answer(signature.encode(), *answer), ex=600)


class Mischief(Tampering):
    """Holds answers back and hands them out in reverse, each with a spoilt copy and twice."""

    def __init__(self, url: str, shards: int) -> None:
        super().__init__(url)
        self.spoilt = 0  #: copies handed out so far
        self._shards = shards
        self._waiting: Iterator[str] = iter(())

    def arrivals(self, run_id: str, timeout_seconds: float) -> list[str]:
        """As the real one, but for the order and the company of what arrives, one by one."""
        arrival = next(self._waiting, None)
        if arrival is None:
            self._waiting = self._hand_out(self._hold_back(run_id))
            arrival = next(self._waiting, None)
        return [arrival] if arrival else []

    def _hold_back(self, run_id: str) -> list[str]:
        held: list[str] = []
        while len(held) < self._shards:
            arrived = super().arrivals(run_id, SILENCE_SECONDS)
            if not arrived:
                break
            held += arrived
        return held

    def _hand_out(self, held: list[str]) -> Iterator[str]:
        for attempt_id in reversed(held):
            right = self.peek(attempt_id)
            if right is None:  # taken already: a second attempt at what was counted
                yield attempt_id
                continue
            spoil = SPOILS[self.spoilt % len(SPOILS)]
            self.put(attempt_id, spoil(by_another(right, f"liar-{self.spoilt}")))
            self.spoilt += 1
            yield attempt_id
            self.put(attempt_id, right)
            yield attempt_id
            self.put(attempt_id, right)
            yield attempt_id


class OnceSpoilt(Tampering):
    """Spoils the first answers of a run, as many as asked, and leaves all others alone."""

    def __init__(self, url: str, spoil: Spoil, times: int = 1) -> None:
        super().__init__(url)
        self._spoil, self._left = spoil, times

    def take_answers(self, limits: Mapping[str, int]) -> Iterator[tuple[str, bytes | None]]:
        """As the real one; what it takes is spoilt first."""
        for attempt_id in limits:
            answer = self.peek(attempt_id)
            if answer is not None and self._left and is_done(answer):
                self._left -= 1
                self.put(attempt_id, self._spoil(answer))
        return super().take_answers(limits)


class LyingWorker(Tampering):
    """Spoils every answer of one worker, or of all if none is named."""

    def __init__(self, url: str, liar: str, spoil: Spoil) -> None:
        super().__init__(url)
        self.liar, self.lies = liar, 0
        self._spoil = spoil

    def take_answers(self, limits: Mapping[str, int]) -> Iterator[tuple[str, bytes | None]]:
        """As the real one; what the liar answered is spoilt first."""
        for attempt_id in limits:
            answer = self.peek(attempt_id)
            if answer is not None and self._is_the_liars(answer):
                self.lies += 1
                self.put(attempt_id, self._spoil(answer))
        return super().take_answers(limits)

    def _is_the_liars(self, answer: Answer) -> bool:
        worker = AnswerHeader.model_validate_json(answer[0]).worker
        return is_done(answer) and self.liar in ("", worker)


def is_done(answer: Answer) -> bool:
    """Report whether the shard was computed, not left to others."""
    return AnswerHeader.model_validate_json(answer[0]).status is Status.DONE


def by_another(answer: Answer, worker: str) -> Answer:
    """The same answer under another worker's name."""
    header = AnswerHeader.model_validate_json(answer[0])
    changed = header.model_copy(update={"worker": worker})
    return changed.model_dump_json().encode(), answer[1]


def _flipped_bit(answer: Answer) -> Answer:
    spoilt = bytearray(answer[1])
    place = random.Random(len(spoilt)).randrange(len(spoilt))
    spoilt[place] ^= 4
    return answer[0], bytes(spoilt)


def _truncated(answer: Answer) -> Answer:
    return answer[0], answer[1][:-1]


def _too_long(answer: Answer) -> Answer:
    return answer[0], answer[1] + bytes(100_000)


def _no_json(answer: Answer) -> Answer:
    return answer[0][:-1], answer[1]


def _nothing(_: Answer) -> Answer:
    return b"", b""


def _renumbered(answer: Answer) -> Answer:
    header = AnswerHeader.model_validate_json(answer[0])
    key = header.key.model_copy(update={"iteration": header.key.iteration + 1})
    changed = header.model_copy(update={"key": key})
    return changed.model_dump_json().encode(), answer[1]


def of_another_term(answer: Answer) -> Answer:
    """The same answer, given to an owner of the run before this one."""
    header = AnswerHeader.model_validate_json(answer[0])
    key = header.key.model_copy(update={"term": header.key.term - 1})
    changed = header.model_copy(update={"key": key})
    return changed.model_dump_json().encode(), answer[1]


def with_arrays(answer: Answer, name: str, value: float) -> Answer:
    """The same answer with one entry changed, its checksum fitting."""
    header, arrays = AnswerHeader.model_validate_json(answer[0]), from_bytes(answer[1])
    arrays[name] = arrays[name].copy()
    arrays[name].reshape(-1)[0] = value
    payload = to_bytes(arrays)
    changed = header.model_copy(update={"payload_checksum": checksum(payload)})
    return changed.model_dump_json().encode(), payload


def not_a_number(answer: Answer) -> Answer:
    """The same answer with a NaN among the gradients."""
    return with_arrays(answer, "conv_2", np.nan)


#: One after the other, over and over.
SPOILS: list[Spoil] = [
    _flipped_bit,
    _truncated,
    _too_long,
    _no_json,
    _nothing,
    _renumbered,
    of_another_term,
]
