"""Faults with victim, time and duration: drawn from a seed, nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Seconds from one fault to the next.
SHORTEST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 3.0

#: Ways in which the lying worker spoils an answer; its own module makes them.
LIES = ("not a number", "wrong shape", "wrong iteration", "flipped bit", "truncated")

#: A lie of the right form: nothing but computing the shard again tells it from the truth.
FITTING_LIE = "flipped bit, fitting checksum"


@dataclass(frozen=True, kw_only=True, slots=True)
class Possibility:
    """A kind of fault; its weight is how often it lies in a deck."""

    victim: str
    kind: str
    weight: int
    seconds: tuple[float, float] = (0.0, 0.0)  #: shortest and longest; 0: over at once


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault, as it was drawn."""

    victim: str  #: worker, supervisor, liar, link, proxy, redis, database, scheduler or standby
    kind: str
    wait_seconds: float  #: from the fault before it
    seconds: float  #: until it is taken back, or the victim is started again
    place: float  #: between 0 and 1: which of several victims, how much of it
    lie: str  #: what a liar says


#: Strike in every world. A scheduler is the one that drives; a standby the one that does not.
EVERYWHERE = (
    Possibility(victim="worker", kind="kill", weight=6),
    Possibility(victim="worker", kind="pause", weight=3, seconds=(0.5, 6.0)),
    Possibility(victim="supervisor", kind="kill", weight=1, seconds=(0.5, 1.5)),
    Possibility(victim="liar", kind="lie", weight=4),
    Possibility(victim="proxy", kind="reset", weight=2),
    Possibility(victim="proxy", kind="half-open", weight=2, seconds=(1.0, 6.0)),
    Possibility(victim="redis", kind="kill", weight=3, seconds=(0.3, 1.5)),
    Possibility(victim="redis", kind="pause", weight=1, seconds=(0.5, 3.0)),
    Possibility(victim="redis", kind="flush", weight=3),
    Possibility(victim="scheduler", kind="kill", weight=3, seconds=(0.5, 2.0)),
    Possibility(victim="scheduler", kind="pause", weight=1, seconds=(2.0, 14.0)),
    Possibility(victim="standby", kind="kill", weight=1, seconds=(0.5, 2.0)),
)

#: Need a network namespace for each worker.
LINKS = (
    Possibility(victim="link", kind="down", weight=2, seconds=(0.5, 4.0)),
    Possibility(victim="link", kind="delay", weight=2, seconds=(1.0, 4.0)),
    Possibility(victim="link", kind="loss", weight=2, seconds=(1.0, 4.0)),
)

#: SQLite has no server to kill; another program holds its write lock instead.
SQLITE = (Possibility(victim="database", kind="lock", weight=3, seconds=(1.0, 4.0)),)
POSTGRESQL = (
    Possibility(victim="database", kind="kill", weight=3, seconds=(0.3, 1.5)),
    Possibility(victim="database", kind="restart", weight=1, seconds=(0.1, 0.5)),
)


def possibilities(database: str, links: bool) -> tuple[Possibility, ...]:
    """Return what can strike a world with this database, with or without links of its own."""
    of_database = SQLITE if database == "sqlite" else POSTGRESQL
    return (*EVERYWHERE, *of_database, *(LINKS if links else ()))


def schedule(
    seed: int, possible: Sequence[Possibility], lies: Sequence[str] = LIES
) -> Iterator[Fault]:
    """Faults without end. Dealt from shuffled decks, so that every kind comes up soon."""
    source = random.Random(seed)
    while True:
        deck = [chosen for chosen in possible for _ in range(chosen.weight)]
        source.shuffle(deck)
        for chosen in deck:
            yield Fault(
                victim=chosen.victim,
                kind=chosen.kind,
                wait_seconds=source.uniform(SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
                seconds=source.uniform(*chosen.seconds),
                place=source.random(),
                lie=source.choice(lies),
            )
