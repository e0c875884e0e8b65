"""Somebody without the key who reaches Redis: answers of the right form, in honest names."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tapeworks.wire.messages import ShardMessage, Status
from tapeworks.wire.signing import Purpose, Signer
from tests.faults.simulation.answers import Misdeed, answer
from tests.faults.simulation.problem import FINGERPRINT
from tests.faults.simulation.redis import Redis
from tests.faults.simulation.world import World

#: The key of those who belong together, and another.
KEY, OTHER_KEY = Signer(b"k" * 32), Signer(b"o" * 32)

#: Part of the schedules that are signed, and have a forger.
SIGNED = 0.25

MISDEEDS = (Misdeed.LIE, Misdeed.NOT_FINITE, Misdeed.FAIL, Misdeed.CORRUPT, Misdeed.UNREADABLE)


class Imposter:
    """Somebody who has stolen a worker's key: failures and NaN, in names that nobody has."""

    def __init__(self, world: World, redis: Redis, chance: random.Random) -> None:
        self._world, self._redis, self._chance, self._names = world, redis, chance, 0

    def sees(self, message: ShardMessage) -> None:
        """A message lies in the queue. It answers while other faults last."""
        if self._redis.faults and self._chance.random() < 0.6:
            for _ in range(self._chance.randint(1, 2)):
                self._world.after(self._chance.uniform(0, 0.3), lambda: self._answer(message))

    def _answer(self, message: ShardMessage) -> None:
        misdeed = self._chance.choice([Misdeed.NOT_FINITE, Misdeed.FAIL, Misdeed.UNREADABLE])
        self._names += 1
        worker = f"made-up-{self._names}"
        fingerprint = message.fingerprint or FINGERPRINT
        header, head, arrays = answer(message, Status.DONE, worker, fingerprint, misdeed)
        signature = self._redis.signer.signature(Purpose.ANSWER, head, arrays).encode()
        self._world.tell("imposter", f"answers {message.key.id} for {worker}: {misdeed}")
        self._redis.forge(header, head, arrays, signature)


class Forger:
    """Answers some of the messages, sooner or later than whoever is asked."""

    def __init__(
        self, world: World, redis: Redis, chance: random.Random, names: Callable[[], Sequence[str]]
    ) -> None:
        """Its chance is its own: schedules without it stay as they are."""
        self._world, self._redis, self._chance, self._names = world, redis, chance, names

    def sees(self, message: ShardMessage) -> None:
        """A message lies in the queue. It forges while other faults last."""
        if self._redis.faults and self._chance.random() < 0.5:
            self._world.after(self._chance.uniform(0, 0.3), lambda: self._forge(message))

    def _forge(self, message: ShardMessage) -> None:
        status = self._chance.choice([Status.DONE, Status.DONE, Status.DONE, *Status])
        misdeed, worker = self._chance.choice(MISDEEDS), self._chance.choice(self._names())
        self._world.tell("forger", f"answers {message.key.id} for {worker}: {status} {misdeed}")
        header, head, arrays = answer(message, status, worker, FINGERPRINT, misdeed)
        of_other_key = OTHER_KEY.signature(Purpose.ANSWER, head, arrays).encode()
        of_other_purpose = KEY.signature(Purpose.MESSAGE, head, arrays).encode()
        signature = self._chance.choice([b"", b"0" * 64, of_other_key, of_other_purpose])
        self._redis.forge(header, head, arrays, signature)
