"""The faults of a schedule, drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum


class Kind(StrEnum):
    """The behaviour of a worker while faults last."""

    HONEST = "honest"
    LIAR = "liar"  #: wrong bits of the right form, sometimes
    CORRUPT = "corrupt"  #: bytes that are not those that it computed, sometimes
    NOT_FINITE = "not finite"  #: NaN where there is none
    FAILING = "failing"  #: an error, a few times
    FOREIGN = "foreign"  #: another fingerprint and other bits, for ever
    BROKEN = "broken"  #: the same, and wrong bits, sometimes
    MUTE = "mute"  #: shows itself, and takes nothing
    ODD = "odd"  #: a fingerprint of its own, and corrupt bytes before anything rests on it


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Probabilities for each message, answer or computation; times of what hits everything."""

    until: float  #: seconds; from then on all is well
    audit: float
    kinds: tuple[Kind, ...]  #: a worker each
    is_pinned: bool  #: every run has a fingerprint when it is submitted
    reuses_names: bool  #: a worker that is started again has the name it had
    imposter: bool  #: somebody with the key answers in made-up names
    lost: float
    doubled: float
    delayed: float
    shuffled: float
    send_lies: float  #: "not sent" though it was, or the other way round
    answer_lost: float
    answer_doubled: float
    answer_delayed: float
    call_fails: float  #: any single call to Redis
    worker_dies: float
    worker_freezes: float
    worker_slow: float
    commit_silent: float  #: the commit's answer is lost, whether or not it was stored
    wipes: tuple[float, ...]
    restarts: tuple[float, ...]
    outages: tuple[tuple[float, float], ...]  #: of Redis: when, for how long
    store_outages: tuple[tuple[float, float], ...]
    crashes: tuple[float, ...]  #: of a scheduler
    pauses: tuple[tuple[float, float], ...]  #: of a run: when, until it is resumed
    cancels: tuple[float, ...]  #: of a run
    clock_jumps: tuple[tuple[float, float], ...]  #: when, by how many seconds
    freezes: tuple[tuple[float, float], ...]


def calm(kinds: Sequence[Kind]) -> Faults:
    """None at all."""
    rates = {field.name: 0.0 for field in fields(Faults) if field.type == "float"}
    times = {field.name: () for field in fields(Faults) if str(field.type).startswith("tuple")}
    flags = {field.name: False for field in fields(Faults) if field.type == "bool"}
    return Faults(**rates | times | flags | {"kinds": tuple(kinds)})  # type: ignore[arg-type]


def drawn(chance: random.Random) -> Faults:
    """Some of all faults, seldom all at once."""
    until = chance.uniform(2, 12)

    def rate(largest: float) -> float:
        return chance.uniform(0, largest) if chance.random() < 0.4 else 0.0

    def times(most: int) -> tuple[float, ...]:
        if chance.random() < 0.65:
            return ()
        return tuple(chance.uniform(0, until) for _ in range(chance.randint(1, most)))

    def spells(most: int, longest: float) -> tuple[tuple[float, float], ...]:
        return tuple((at, chance.uniform(0.1, longest)) for at in times(most))

    audit, kinds = _population(chance)
    return Faults(
        until=until,
        audit=audit,
        kinds=kinds,
        is_pinned=chance.random() < 0.3,
        reuses_names=chance.random() < 0.3,
        imposter=chance.random() < 0.25,
        lost=rate(0.4),
        doubled=rate(0.6),
        delayed=rate(0.4),
        shuffled=rate(0.8),
        send_lies=rate(0.2),
        answer_lost=rate(0.3),
        answer_doubled=rate(0.3),
        answer_delayed=rate(0.4),
        call_fails=rate(0.05),
        worker_dies=rate(0.2),
        worker_freezes=rate(0.2),
        worker_slow=rate(0.3),
        commit_silent=rate(0.5),
        wipes=times(2),
        restarts=times(2),
        outages=spells(2, 6.0),
        store_outages=spells(2, 4.0),
        crashes=times(2),
        freezes=spells(2, 25.0),
        pauses=spells(2, 10.0) if chance.random() < 0.3 else (),
        cancels=times(1) if chance.random() < 0.2 else (),
        clock_jumps=tuple((at, chance.uniform(-4000, 4000)) for at in times(2)),
    )


def _population(chance: random.Random) -> tuple[float, tuple[Kind, ...]]:
    """The audit and the workers.

    Whoever lies is found by an audit of everything: two honest workers are there, or one, which
    then agrees with the liar when that one lies no more.
    """
    audit = chance.choice([0.0, 0.0, chance.uniform(0.05, 0.95), 1.0, 1.0, 1.0])
    if audit == 1.0 and chance.random() < 0.8:
        wrong = chance.choice([Kind.LIAR, Kind.LIAR, Kind.BROKEN])
        kinds = [wrong] * chance.choice([1, 1, 2])
        kinds += [Kind.HONEST] * chance.choice([len(kinds), len(kinds) + 1])
    else:
        kinds = [Kind.HONEST] * chance.randint(1, 4)
        if len(kinds) > 1 and chance.random() < 0.7:
            kinds[0] = chance.choice([Kind.CORRUPT, Kind.NOT_FINITE, Kind.FAILING, Kind.ODD])
    foreign = chance.choice([1, 1, 2]) if chance.random() < 0.25 else 0
    if chance.random() < 0.1:
        kinds += [Kind.HONEST] * chance.randint(0, 9 - len(kinds) - foreign)
    if audit and (foreign or {Kind.BROKEN, Kind.ODD} & set(kinds)):
        kinds += [Kind.HONEST] * max(0, 2 - kinds.count(Kind.HONEST))
    kinds += [Kind.FOREIGN] * foreign
    chance.shuffle(kinds)
    return audit, tuple(kinds)
