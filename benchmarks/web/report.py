"""Prints the measurements of the web page, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.web.looks import RUN_PAGE, RUNS_PAGE
from benchmarks.web.measuring import OpenPages, PageTimes, SlowQuery

#: The polls of the line for programs.
POLLED = (RUNS_PAGE, RUN_PAGE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """All that was measured with one database."""

    times: PageTimes
    slow: SlowQuery
    quiet: OpenPages  #: nothing changes
    busy: OpenPages  #: while a run goes on


def table(engine: str, results: Results) -> str:
    """Return the lines for people."""
    times = results.times
    lines = [f"{engine}, milliseconds", f"  {'cold':>8} {'again':>8} {'poll':>8}"]
    for name, cold in times.cold.items():
        poll = f"{times.poll[name]:8.1f}" if name in times.poll else 8 * " "
        lines.append(f"  {cold:8.1f} {times.warm[name]:8.1f} {poll}  {name}")
    slow = results.slow
    lines.append(f"  {slow.poll:8.1f}  slowest poll beside a query of {slow.query:.0f} ms")
    for name, seen in (("nothing changes", results.quiet), ("a run goes on", results.busy)):
        lines.append(
            f"  twenty open pages while {name}: {100 * seen.share:.1f} % of a core, polls in "
            f"{seen.poll:.1f} ms, the slowest of a hundred in {seen.slowest:.1f} ms, "
            f"{100 * seen.unchanged:.0f} % unchanged"
        )
    return "\n".join(lines)


def line(engine: str, results: Results) -> str:
    """Return the line for programs."""
    times = results.times
    return (
        f"web: engine={engine} runs_page_ms={times.warm[RUNS_PAGE]:.1f} "
        f"run_page_ms={times.warm[RUN_PAGE]:.1f} "
        f"poll_ms={max(times.poll[name] for name in POLLED):.1f} "
        f"twenty_pages_core_share={results.quiet.share:.3f} "
        f"while_training_core_share={results.busy.share:.3f}"
    )
