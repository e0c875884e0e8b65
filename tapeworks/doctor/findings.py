"""Findings of checks, each with its remedy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tapeworks.errors import EXPECTED, ExitCode, exit_code
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord
from tapeworks.wire.versions import tapeworks_version


def states(records: Iterable[WorkerRecord | SchedulerRecord]) -> str:
    counts = Counter(record.state for record in records)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def groups(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for value, name in pairs:
        found[value].append(name)
    return dict(found)


def other_versions(
    label: str, records: Sequence[WorkerRecord] | Sequence[SchedulerRecord]
) -> Iterator[Finding]:
    own = tapeworks_version()
    by_version = groups((record.version, record.name) for record in records)
    others = [
        f"{version or 'an older one'} of {join_names(names)}"
        for version, names in sorted(by_version.items())
        if version != own
    ]
    if others:
        yield warning(
            label,
            f"versions differ from this one, {own}: {'; '.join(others)}",
            "Install the same version of Tapeworks on all machines.",
        )


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"  #: it works, but slower or less safely than it could
    PROBLEM = "problem"  #: something will fail, or stand still


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line."""

    level: Level
    label: str  #: what was looked at
    found: str
    remedy: str = ""  #: what to do; empty if nothing is to be done, or `found` says it
    code: ExitCode = ExitCode.DONE  #: the exit code that a problem stands for


def ok(label: str, found: str) -> Finding:
    """All is as it should be."""
    return Finding(level=Level.OK, label=label, found=found)


def warning(label: str, found: str, remedy: str) -> Finding:
    """It works, but."""
    return Finding(level=Level.WARNING, label=label, found=found, remedy=remedy)


def problem(label: str, found: str, remedy: str, code: ExitCode = ExitCode.WRONG_USAGE) -> Finding:
    """It does not work, or not for long."""
    return Finding(level=Level.PROBLEM, label=label, found=found, remedy=remedy, code=code)


def run_check(label: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The check's findings; an expected error is one, whose sentence names the remedy."""
    try:
        yield from check()
    except EXPECTED as error:
        yield problem(label, " ".join(str(error).split()), "", exit_code(error))


def join_names(names: Iterable[str], most: int = 5) -> str:
    """Some names, as a person reads them."""
    listed = sorted(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
