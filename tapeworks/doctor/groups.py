"""Workers and schedulers by what they have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tapeworks.doctor.findings import Finding, named, warning
from tapeworks.workers.messages import SchedulerRecord, WorkerRecord
from tapeworks.workers.versions import tapeworks_version


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
        f"{version or 'an older one'} of {named(names)}"
        for version, names in sorted(by_version.items())
        if version != own
    ]
    if others:
        yield warning(
            label,
            f"versions differ from this one, {own}: {'; '.join(others)}",
            "Install the same version of Tapeworks on all machines.",
        )
