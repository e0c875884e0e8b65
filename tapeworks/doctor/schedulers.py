"""Schedulers: who is there."""

from __future__ import annotations

from collections.abc import Iterator

from tapeworks.doctor.findings import Finding, named, ok
from tapeworks.doctor.groups import other_versions, states
from tapeworks.doctor.seen import Seen

LABEL = "schedulers"


def check_schedulers(seen: Seen) -> Iterator[Finding]:
    """How many; that none is there matters when a run waits."""
    if seen.schedulers is None:
        yield ok(LABEL, "not told to this Redis user, as it should be for a worker's")
        return
    wrong = list(other_versions(LABEL, seen.schedulers))
    yield from wrong
    if not seen.schedulers:
        yield ok(LABEL, "none is alive; submitted runs need one, tapeworks train does not")
    elif not wrong:
        in_hand = named(run for scheduler in seen.schedulers for run in scheduler.runs) or "none"
        yield ok(LABEL, f"{states(seen.schedulers)}; runs in hand: {in_hand}")
