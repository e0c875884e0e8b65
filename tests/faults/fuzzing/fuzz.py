"""Cases by the thousand, and what they cost."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.faults.fuzzing.problem import Bench, benches
from tests.faults.fuzzing.scheduler_side import SchedulerSide
from tests.faults.fuzzing.worker_side import WorkerSide

#: Bytes that this process may take more at its peak: a queue entry of the greatest length, read in
#: all its stages, with what Python needs around it.
MOST_GROWTH_BYTES = 512 * 2**20

#: Cases of which hypothesis remembers what it has tried.
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Fuzzed:
    """The work done, and its memory at the peak; None where the kernel keeps none."""

    cases: int
    seconds: float
    growth_bytes: int | None
    seen: Counter[str]


def fuzzed(cases: int, seed: int = 0) -> Fuzzed:
    """So many cases, evenly for scheduler and worker, with and without a key.

    Raises what hypothesis made of the first case that fails.
    """
    began, seen = time.perf_counter(), Counter[str]()
    with benches() as made:
        sides = [side(bench) for bench in made.values() for side in (SchedulerSide, WorkerSide)]
        before = _reset_peak()
        for number in range(-(-cases // (BATCH * len(sides)))):
            for place, side in enumerate(sides):
                _batch(side, seed + number * len(sides) + place)
        growth = None if before is None else _memory("VmHWM") - before
        for name, bench in made.items():
            seen.update(_named(name, bench))
    done = (number + 1) * len(sides) * BATCH
    seconds = time.perf_counter() - began
    return Fuzzed(cases=done, seconds=seconds, growth_bytes=growth, seen=seen)


def _batch(side: SchedulerSide | WorkerSide, seed: int) -> None:
    @seeded(seed)
    @settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def try_it(data: st.DataObject) -> None:
        side.case(data.draw)

    try_it()


def _named(name: str, bench: Bench) -> Counter[str]:
    return Counter({f"{name:8} {what}": count for what, count in bench.seen.items()})


def _reset_peak() -> int | None:
    """Forget the peak so far; what this process takes now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _memory("VmRSS")


def _memory(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{what}:")]
    return int(line.split()[1]) * 1024
