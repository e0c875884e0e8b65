"""A coordinator and all that its tests say to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tapeworks.scheduler.core.coordinator import Coordinator
from tapeworks.scheduler.core.decisions import Answer, Attempt, Command, Count, Send
from tapeworks.scheduler.core.pace import Pace
from tapeworks.scheduler.core.sharding import Shard, split
from tapeworks.scheduler.core.standing import Standing

#: Workers' names.
A, B, C = "a", "b", "c"

#: Their fingerprint.
KIND = "aa"


def shards(count: int, microbatches_each: int = 1) -> list[Shard]:
    return split(np.arange(count * microbatches_each), 1, count)


def name(shard: Shard, number: int) -> str:
    return f"shard {shard.index} attempt {number}"


def known_pace(seconds: float = 1.0) -> Pace:
    pace = Pace()
    pace.learn(seconds, seconds, microbatches=1)
    return pace


def standing(seconds: float | None = None, quarantined: Iterable[str] = ()) -> Standing:
    """That of a run whose microbatches take so long, if that is known."""
    made = Standing(quarantined, KIND)
    if seconds is not None:
        made.pace = known_pace(seconds)
    return made


def coordinator(
    count: int = 1,
    workers: Sequence[str] = (A,),
    *,
    each: int = 1,
    runs: int = 1,
    of: Standing | None = None,
    audited: Iterable[int] = (),
) -> Coordinator:
    """One that knows these workers."""
    made = Coordinator(shards(count, each), of or standing(), name, audited)
    made.saw_workers(alike(workers), runs)
    return made


def alike(workers: Iterable[str], fingerprint: str = KIND) -> dict[str, str]:
    """These workers, all of one fingerprint."""
    return dict.fromkeys(workers, fingerprint)


def sends(commands: Iterable[Command]) -> list[Send]:
    return [command for command in commands if isinstance(command, Send)]


def counts(commands: Iterable[Command]) -> list[Answer]:
    """Return the answers that are to be added up."""
    return [command.answer for command in commands if isinstance(command, Count)]


def sent(work: Coordinator, now: float) -> list[Attempt]:
    """Return the attempts that go out now."""
    return [send.attempt for send in sends(work.woke(now))]


def indices(attempts: Iterable[Attempt]) -> list[int]:
    """The attempts' shards."""
    return [attempt.shard.index for attempt in attempts]


def answer(attempt: Attempt, worker: str = A, bits: str = "right") -> Answer:
    """A valid answer."""
    return Answer(
        attempt=attempt,
        worker=worker,
        seconds=0.5,
        fingerprint=KIND,
        bits=bits,
    )
