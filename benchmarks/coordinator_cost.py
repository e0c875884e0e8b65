"""The processor time that the coordinator takes for each shard.

    .venv/bin/python -m benchmarks.coordinator_cost

An ordinary iteration, as its driver takes it through one: one shard for each worker, all
sent at once, answered one by one, and a look for what is due after each answer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.rounds import count
from tapeworks.scheduler.core.coordinator import Coordinator
from tapeworks.scheduler.core.decisions import Answer, Send
from tapeworks.scheduler.core.sharding import Shard, split
from tapeworks.scheduler.core.standing import Standing

SHARDS = (64, 256)

#: Microbatches of each shard.
MICROBATCHES = 16

#: Simulated seconds between two answers.
TURN_SECONDS = 0.001

FINGERPRINT = "aa"


def main() -> None:
    """Measure, print a table and a line for programs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coordinator_cost", description=__doc__
    )
    parser.add_argument("--rounds", type=count, default=50, help="[default: 50]")
    rounds = parser.parse_args().rounds
    medians = {shards: statistics.median(measured(shards, rounds)) for shards in SHARDS}
    print("shards  microseconds/shard")
    for shards, median in medians.items():
        print(f"{shards:6} {median:19.1f}")
    print(
        "coordinator:", " ".join(f"us_per_shard_{n}={median:.1f}" for n, median in medians.items())
    )


def measured(shards: int, rounds: int) -> Iterator[float]:
    """Yield the microseconds of processor time for each shard, iteration by iteration."""
    living = {f"worker-{number}": FINGERPRINT for number in range(shards)}
    standing = Standing(fingerprint=FINGERPRINT)
    cut = split(np.arange(shards * MICROBATCHES), 1, shards)
    for _ in range(rounds):
        began = time.process_time()
        iterate(cut, standing, living)
        yield (time.process_time() - began) / shards * 1e6


def iterate(shards: list[Shard], standing: Standing, living: dict[str, str]) -> None:
    """Take one iteration from its first message to its last answer.

    Raises `RuntimeError` if it is not complete then.
    """
    work, in_hand, now = Coordinator(shards, standing, _name), dict[str, str](), 0.0
    work.saw_workers(living, 1, 0, in_hand, now)
    out = [one.attempt for one in work.woke(now) if isinstance(one, Send)]
    for worker, attempt in zip(living, out, strict=True):
        now += TURN_SECONDS
        _take(work, attempt.id, worker, now)
        work.saw_workers(living, 1, 0, in_hand, now)
        work.woke(now)
        if work.next_wake(now) <= now or work.is_waiting:
            break
    if not work.finished:
        raise RuntimeError(f"Expected every shard to be counted. Received: {work.out} still out.")


def _take(work: Coordinator, attempt_id: str, worker: str, now: float) -> None:
    attempt = work.attempt(attempt_id)
    if attempt and not work.needs_bits(attempt):
        seconds = now - attempt.sent_at
        answer = Answer(attempt=attempt, worker=worker, seconds=seconds, fingerprint=FINGERPRINT)
        work.record_answer(answer, now)


def _name(shard: Shard, number: int) -> str:
    return f"run.1.1.{shard.index}.{number}"


if __name__ == "__main__":
    main()
