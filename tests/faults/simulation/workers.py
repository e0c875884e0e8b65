"""Simulated workers: they die, freeze, dawdle, answer late, and some answer wrongly."""

from __future__ import annotations

from collections.abc import Callable

from tapeworks.wire.messages import ShardMessage, Status
from tapeworks.workers.tasks import LEAVE_SECONDS
from tests.faults.simulation.answers import Character, Misdeed, answer
from tests.faults.simulation.faults import Kind
from tests.faults.simulation.problem import FINGERPRINT, OTHER_FINGERPRINT
from tests.faults.simulation.redis import Redis
from tests.faults.simulation.world import World

#: Seconds between two looks at a queue that was empty, frozen or away.
LOOK_SECONDS = 0.001

#: How much longer a slow computation takes.
SLOW = 20.0

#: Seconds until a process that has ended is registered again, if it keeps its name: longer than its
#: record lives.
LONGEST_ABSENCE_SECONDS = 8.0


class Worker:
    """One place for a worker process; who dies comes back, mostly under another name."""

    def __init__(
        self, world: World, redis: Redis, place: int, kind: Kind, *, keeps_name: bool
    ) -> None:
        self._world, self._redis, self._place = world, redis, place
        self._keeps_name, self._own_kind = keeps_name, kind
        self._character = Character(world, kind)
        self._incarnation = 0
        self.computed = 0  #: shards
        self.seconds = world.chance.choice([0.01, 0.05, 0.2, 0.6])  # for a microbatch
        self.is_allowed = True  #: to run the users' network
        self._alive = self._frozen = self._busy = False
        self.start()

    @property
    def name(self) -> str:
        """New with every start, unless it keeps it."""
        return f"worker-{self._place}" + f".{self._incarnation}" * (not self._keeps_name)

    @property
    def fingerprint(self) -> str:
        """Told in heartbeats and answers."""
        if self._own_kind in {Kind.BROKEN, Kind.ODD}:
            return f"{self._place:02x}"  # its own
        return OTHER_FINGERPRINT if self._own_kind is Kind.FOREIGN else FINGERPRINT

    # Life

    def start(self) -> None:
        """A new process, unless it lives."""
        if not self._alive:
            self._incarnation += 1
            self._alive, self._frozen, self._busy = True, False, False
            self.show()

    def show(self) -> None:
        """The next heartbeat."""
        self._world.after(self._world.chance.uniform(0, 1), self._shown)

    def is_well(self) -> None:
        """Nothing goes wrong with it any more; what it may run is settled when it starts."""
        if self._character.kind is not Kind.FOREIGN:
            self._character.kind = Kind.HONEST
        if not self.is_allowed:
            self.is_allowed = True
            self._end(LONGEST_ABSENCE_SECONDS)
            return
        self.start()
        self._thaw()

    def _shown(self) -> None:
        if self._alive and not self._frozen:
            self._redis.beat(self.name, self.fingerprint)
            self.look()

    def _die(self) -> None:
        self._end(self._world.chance.uniform(0.5, 6))

    def _end(self, seconds: float) -> None:
        """Be started again after so long."""
        self._world.tell(self.name, "dies")
        self._alive = False
        self._redis.falls_silent(self.name)
        self._world.after(seconds, self.start)

    def _freeze(self) -> None:
        self._world.tell(self.name, "freezes")
        self._frozen = True
        self._redis.falls_silent(self.name)
        self._world.after(self._world.chance.uniform(0.5, 20), self._thaw)

    def _thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            self._shown()

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        """If this very process still lives then; frozen, it does it when it thaws."""
        incarnation = self._incarnation

        def happen() -> None:
            if not self._alive or self._incarnation != incarnation:
                return
            if self._frozen:
                self._world.after(0.5, happen)
            else:
                event()

        self._world.after(seconds, happen)

    # Work

    def look(self) -> None:
        """Take the next message, if it is free and there is one."""
        if self._own_kind is Kind.MUTE:
            return
        if self._alive and not self._frozen and not self._busy:
            message = self._redis.next_message(self.fingerprint)
            if message is not None:
                self._take(message)

    def _take(self, message: ShardMessage) -> None:
        self._busy = True
        if self._is_stale(message):
            self._later(LOOK_SECONDS, self._free)
            return
        self._redis.in_hand[self.name] = message.key.id
        status = self._status(message)
        seconds = self._duration(message) if status is Status.DONE else 0.0
        faults = self._redis.faults
        if faults and self._world.happens(faults.worker_dies):
            self._later(self._world.chance.uniform(0, seconds), self._die)
        elif faults and self._world.happens(faults.worker_freezes):
            self._later(self._world.chance.uniform(0, seconds), self._freeze)
        self._later(seconds, lambda: self._answer(message, status))

    def _is_stale(self, message: ShardMessage) -> bool:
        current = self._redis.current.get(message.key.run)
        if message.key.id in self._redis.withdrawn:
            return True
        return current is None or current > (message.key.term, message.key.iteration)

    def _status(self, message: ShardMessage) -> Status:
        if self.name in message.not_for:
            return Status.LEFT
        if message.fingerprint not in (None, self.fingerprint):
            return Status.REFUSED
        if not self.is_allowed:
            return Status.NOT_ALLOWED
        needed = {message.parameters_digest, *message.chunks.values()}
        return Status.DONE if needed <= self._redis.payloads else Status.MISSING

    def _duration(self, message: ShardMessage) -> float:
        seconds = self.seconds * message.microbatches * self._world.chance.uniform(0.7, 1.3)
        faults = self._redis.faults
        return seconds * (SLOW if faults and self._world.happens(faults.worker_slow) else 1.0)

    def _answer(self, message: ShardMessage, status: Status) -> None:
        misdeed = self._character.misdeed(message)
        if misdeed is Misdeed.NONE and message.parameters_digest in self._redis.diverged:
            misdeed = Misdeed.NOT_FINITE  # for real
        self._world.tell(self.name, f"answers {message.key.id}: {status} {misdeed}")
        self.computed += status is Status.DONE
        self._redis.answer(*answer(message, status, self.name, self.fingerprint, misdeed))
        leaves = status in {Status.REFUSED, Status.LEFT, Status.NOT_ALLOWED}
        self._later(LEAVE_SECONDS if leaves else LOOK_SECONDS, self._free)

    def _free(self) -> None:
        self._busy = False
        self._redis.in_hand.pop(self.name, None)
        self.look()
