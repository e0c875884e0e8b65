"""A Redis that loses, doubles, delays and reorders, forgets everything, and goes away."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.keys import WORKER_SECONDS
from tapeworks.wire.messages import AnswerHeader, ShardMessage
from tapeworks.wire.signing import UNSIGNED, Purpose
from tests.faults.simulation.faults import Faults
from tests.faults.simulation.world import World

#: Seconds from one end of the wire to the other.
TRIP_SECONDS = 0.002

#: The longest that anything is under way while faults last, in seconds.
DELAY_SECONDS = 8.0


class Redis:
    """A simulated Redis: the data that it holds, and the fate of whatever it is given."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.faults: Faults | None = faults  #: None once all is well
        self.away = False
        self.server = 1
        self.on_message: Callable[[], None] = lambda: None
        self.on_sent: Callable[[ShardMessage], None] = lambda message: None
        self.on_queued: Callable[[ShardMessage], None] = lambda message: None
        self.on_arrival: Callable[[str], None] = lambda run_id: None
        self.signer = UNSIGNED  #: of everybody but forgers
        self.heartbeats: dict[str, tuple[str, float]] = {}  #: fingerprint, end
        self.in_hand: dict[str, str] = {}  #: attempts that workers show, or have died with
        self.diverged: set[str] = set()  #: digests of parameters with which nobody finds a number
        self._world = world
        self.forget()

    def forget(self) -> None:
        """Lose all that is held."""
        self.queue: list[ShardMessage] = []
        self.payloads: set[str] = set()
        self.withdrawn: set[str] = set()
        self.answers: dict[str, tuple[bytes, bytes, bytes]] = {}  #: with signatures
        self.arrivals: defaultdict[str, deque[str]] = defaultdict(deque)
        self.current: dict[str, tuple[int, int]] = {}
        self.quarantined: defaultdict[str, set[str]] = defaultdict(set)
        self.in_progress: dict[str, float] = {}
        self.heartbeats.clear()

    def reach(self) -> None:
        """Raise `RedisUnreachable` if this call fails."""
        if self.away or (self.faults and self._world.happens(self.faults.call_fails)):
            raise RedisUnreachable("Redis does not answer")

    # Messages to workers

    def send(self, message: ShardMessage) -> None:
        """Put a message on the queue, or say so."""
        self.on_sent(message)
        faults, happens = self.faults, self._world.happens
        if self.away:
            raise RedisUnreachable("Redis does not answer")
        if faults is None:
            return self._put(message, TRIP_SECONDS)
        lies = happens(faults.send_lies)
        if not happens(faults.lost) and not (lies and happens(0.3)):
            self._put(message, self._trip(faults.delayed))
        if happens(faults.doubled):
            self._put(message, self._trip(faults.delayed))
        if lies and happens(0.7):
            raise RedisUnreachable("the answer did not come")
        return None

    def next_message(self, fingerprint: str) -> ShardMessage | None:
        """Take a message for a free worker of this fingerprint out of the queues that it reads."""
        readable = {None, fingerprint}
        places = [at for at, one in enumerate(self.queue) if one.fingerprint in readable]
        if self.away or not places:
            return None
        shuffled = self.faults and self._world.happens(self.faults.shuffled)
        return self.queue.pop(self._world.chance.choice(places) if shuffled else places[0])

    def _put(self, message: ShardMessage, seconds: float) -> None:
        server = self.server

        def arrive() -> None:
            if server == self.server:  # what was under way is gone with the old one
                self.queue.append(message)
                self.on_queued(message)
                self.on_message()

        self._world.after(seconds, arrive)

    def _trip(self, delayed: float) -> float:
        if self._world.happens(delayed):
            return self._world.chance.uniform(0, DELAY_SECONDS)
        return TRIP_SECONDS

    # Answers to schedulers

    def answer(self, header: AnswerHeader, head: bytes, arrays: bytes) -> None:
        """Take a worker's answer; in an outage the worker tries again."""
        faults, times, seconds = self.faults, 1, TRIP_SECONDS
        if faults:
            times = 1 + self._world.happens(faults.answer_doubled)
            times -= self._world.happens(faults.answer_lost)
            seconds = self._trip(faults.answer_delayed)
        for _ in range(times):
            self._world.after(seconds, lambda: self._answered(header, head, arrays))

    def _answered(self, header: AnswerHeader, head: bytes, arrays: bytes) -> None:
        if self.away:
            self._world.after(0.5, lambda: self._answered(header, head, arrays))
            return
        signature = self.signer.signature(Purpose.ANSWER, head, arrays).encode()
        self._arrives(header, (head, arrays, signature))

    def forge(self, header: AnswerHeader, head: bytes, arrays: bytes, signature: bytes) -> None:
        """Take an answer from somebody who is no worker."""
        self._world.after(TRIP_SECONDS, lambda: self._arrives(header, (head, arrays, signature)))

    def _arrives(self, header: AnswerHeader, answer: tuple[bytes, bytes, bytes]) -> None:
        self.answers[header.key.id] = answer
        self.arrivals[header.key.run].append(header.key.id)
        self.on_arrival(header.key.run)

    # Heartbeats

    def beat(self, worker: str, fingerprint: str) -> None:
        """The worker lives, until `falls_silent`."""
        self.heartbeats[worker] = fingerprint, float("inf")

    def falls_silent(self, worker: str) -> None:
        """Its last heartbeat lasts a little longer."""
        if worker in self.heartbeats:
            fingerprint, _ = self.heartbeats[worker]
            self.heartbeats[worker] = fingerprint, self._world.now + WORKER_SECONDS
