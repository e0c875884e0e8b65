"""`tapeworks.wire.exchange.Exchange` as schedulers use it, on the simulated Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.parameters import digest
from tapeworks.wire.exchange import Opening, pack_answer, unpack_answer
from tapeworks.wire.keys import IN_PROGRESS_SECONDS
from tapeworks.wire.messages import ShardMessage
from tapeworks.wire.registry import Survey
from tapeworks.wire.signing import Purpose, Signer
from tapeworks.wire.versions import tapeworks_version
from tests.faults.simulation.redis import Redis
from tests.faults.simulation.world import World


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of a worker's record that a scheduler reads."""

    name: str
    fingerprint: str
    signing_key: str
    shard_in_hand: str | None
    version: str = tapeworks_version()


class Exchange:
    """One scheduler's connection. It never waits: `waits_seconds` says how long it would have."""

    def __init__(self, world: World, redis: Redis, signer: Signer) -> None:
        self.waits_seconds, self.signer = 0.0, signer
        self._world, self._redis = world, redis

    def server_id(self) -> str:
        self._redis.reach()
        return str(self._redis.server)

    def publish(self, payload: bytes, lifetime_seconds: int) -> None:
        self._redis.reach()
        self._redis.payloads.add(digest(payload))

    def retire(self, content_digest: str) -> None:
        self._redis.reach()
        self._redis.payloads.discard(content_digest)

    def announce_run(self, run_id: str, network: AnyNetwork) -> None:
        self._redis.reach()

    def survey(self, run_id: str, fingerprint: str | None, *, is_reserved: bool = False) -> Survey:
        self._redis.reach()
        self._redis.in_progress[run_id] = self._world.now + IN_PROGRESS_SECONDS
        waiting = [one for one in self._redis.queue if one.fingerprint in {None, fingerprint}]
        return Survey(
            server_id=str(self._redis.server),
            memory_use=0.0,
            knows_run=run_id in self._redis.current,
            queue_length=len(waiting),
            runs=sum(end > self._world.now for end in self._redis.in_progress.values()),
            workers=self.workers(),  # type: ignore[arg-type]
        )

    def quarantine(self, run_id: str, workers: Iterable[str]) -> None:
        self._redis.reach()
        self._redis.quarantined[run_id].update(workers)

    def quarantined(self, run_id: str) -> set[str]:
        self._redis.reach()
        return set(self._redis.quarantined[run_id])

    def send(
        self,
        messages: Iterable[ShardMessage],
        opening: Opening | None = None,
        *,
        is_reserved: bool = False,
    ) -> None:
        """Any command of the round trip may be the first that fails; all take from one queue."""
        if opening:
            self._redis.reach()
            self._redis.payloads.add(opening.parameters_digest)
            if opening.retired != opening.parameters_digest:
                self._redis.payloads.discard(opening.retired)
            self._redis.reach()
            self._redis.current[opening.run_id] = opening.term, opening.iteration
        for message in messages:
            self._redis.send(message)

    def withdraw(self, attempts: Iterable[str]) -> None:
        self._redis.reach()
        self._redis.withdrawn.update(attempts)

    def forget_run(self, run_id: str, term: int) -> None:
        self._redis.reach()
        current = self._redis.current.get(run_id)
        if current is None or current[0] == term:
            for kept in (self._redis.arrivals, self._redis.current, self._redis.quarantined):
                kept.pop(run_id, None)
            self._redis.in_progress.pop(run_id, None)

    def workers(self) -> list[Seen]:
        self._redis.reach()
        beats = self._redis.heartbeats.items()
        return [
            Seen(name, kind, self.signer.key_id, self._redis.in_hand.get(name))
            for name, (kind, end) in beats
            if end > self._world.now
        ]

    def arrivals(self, run_id: str, timeout_seconds: float) -> list[str]:
        self.waits_seconds = timeout_seconds
        self._redis.reach()
        arrived = list(self._redis.arrivals[run_id])
        self._redis.arrivals[run_id].clear()
        if arrived:
            self.waits_seconds = 0.0
        return arrived

    def drop_answers(self, attempts: Iterable[str]) -> None:
        self._redis.reach()
        for attempt_id in attempts:
            self._redis.answers.pop(attempt_id, None)

    def take_answers(self, limits: Mapping[str, int]) -> Iterator[tuple[str, bytes | None]]:
        self._redis.reach()
        for attempt_id in limits:
            taken = self._redis.answers.pop(attempt_id, None)
            yield attempt_id, pack_answer(taken[2], *taken[:2]) if taken else None

    def open_answer(self, answer: bytes) -> tuple[bytes, bytes]:
        signature, header, arrays = unpack_answer(answer)
        self.signer.check(signature, Purpose.ANSWER, header, arrays)
        return header, arrays
