"""The drill's report: a table for each seed, one for all, and the line for programs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from tests.faults.chaos.drill import Outcome
from tests.faults.chaos.journal import of
from tests.faults.chaos.recovery import (
    Struck,
    longest_gap,
    merged,
    recoveries,
    redis_away,
    stalls,
    summary,
)

#: Deaths whose recovery the last line tells.
DEATHS = ("worker", "redis", "scheduler")

HEADER = (
    f"  {'':22} {'faults':>6}  {'median':>7} {'95th':>7} {'worst':>7}  {'stall':>7} {'worst':>7}"
)


def seed_lines(outcome: Outcome) -> Iterator[str]:
    """All about one seed."""
    order, verdicts = outcome.order, outcome.verdicts
    yield f"{order.name}: {outcome.network}"
    faults, missed = of(outcome.entries, "fault"), of(outcome.entries, "missed")
    commits = of(outcome.entries, "commit")
    yield (
        f"  {len(faults)} faults in {outcome.seconds:.0f} s ({len(missed)} more found no victim); "
        f"{len(verdicts)} runs, {len(commits)} iterations committed"
    )
    yield (
        f"  images missed: {sum(v.missed for v in verdicts)}; "
        f"counted twice: {sum(v.double_counted for v in verdicts)}; "
        f"bits equal to the undisturbed run: {yes(all(v.digests_equal for v in verdicts))}"
    )
    yield from (f"  PROBLEM: {problem}" for verdict in verdicts for problem in verdict.problems)
    yield f"  longest time between two commits: {longest_gap(outcome.entries):.1f} s"
    yield f"  noted by the product: {_counts(outcome.events)}"
    yield from _ends(outcome)
    yield from table(recoveries(outcome.entries), stalls(outcome.entries))
    yield ""


def total_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The recoveries of all seeds together."""
    yield f"All {len(outcomes)} seeds"
    yield from table(
        merged(recoveries(outcome.entries) for outcome in outcomes),
        merged(stalls(outcome.entries) for outcome in outcomes),
    )
    away = [seconds for outcome in outcomes for seconds in redis_away(outcome.entries)]
    if away:
        median = statistics.median(away)
        yield f"  A killed Redis was away for {median:.2f} s itself (median), which is counted in."
    yield ""


def table(recovered: dict[Struck, list[float]], stalled: dict[Struck, list[float]]) -> list[str]:
    """Seconds from fault to next commit, and the longest stall, for each kind of fault."""
    lines = [HEADER]
    for struck in sorted(recovered):
        next_commit, stall = summary(recovered[struck]), summary(stalled[struck])
        lines.append(
            f"  {' '.join(struck):22} {next_commit.faults:6}  {next_commit.median:7.2f} "
            f"{next_commit.percentile_95:7.2f} {next_commit.worst:7.2f}  "
            f"{stall.median:7.2f} {stall.worst:7.2f}"
        )
    return lines


def told(outcomes: Sequence[Outcome]) -> str:
    """The line for programs."""
    verdicts = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    recovered = merged(recoveries(outcome.entries) for outcome in outcomes)
    values: dict[str, object] = {
        "seeds": len(outcomes),
        "faults": sum(len(of(outcome.entries, "fault")) for outcome in outcomes),
        "missed": sum(verdict.missed for verdict in verdicts),
        "double_counted": sum(verdict.double_counted for verdict in verdicts),
        "digests_equal": yes(all(verdict.digests_equal for verdict in verdicts)),
    }
    for victim in DEATHS:
        seconds = recovered.get((victim, "kill"), [])
        median = statistics.median(seconds) if seconds else math.nan
        values[f"recovery_{victim}_median_seconds"] = f"{median:.2f}"
    return "chaos: " + " ".join(f"{name}={value}" for name, value in values.items())


def yes(value: bool) -> str:
    """For people and programs."""
    return "yes" if value else "no"


def _ends(outcome: Outcome) -> Iterator[str]:
    """Programs that ended though nobody killed them, if any."""
    codes: dict[str, int] = {}
    for entry in of(outcome.entries, "ended"):
        words = f"{entry['process']} with code {entry['code']}"
        codes[words] = codes.get(words, 0) + 1
    if codes:
        yield f"  ended by themselves and were started again: {_counts(codes)}"


def _counts(counts: dict[str, int]) -> str:
    items: Iterable[str] = (f"{name} {count}" for name, count in sorted(counts.items()))
    return ", ".join(items) or "nothing"
