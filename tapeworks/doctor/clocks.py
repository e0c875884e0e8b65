"""Clocks: how far those of other machines are from this one's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from tapeworks.doctor.findings import Finding, ok, warning
from tapeworks.storage.database import Database

LABEL = "clocks"

#: Seconds that two clocks may be apart.
LARGEST_SKEW_SECONDS = 2.0


def check_clocks(skews: Mapping[str, float]) -> Iterator[Finding]:
    """By how much each is ahead of this one; a lease goes by the database's, a story by all."""
    wrong = {whose: skew for whose, skew in skews.items() if abs(skew) > LARGEST_SKEW_SECONDS}
    for whose, skew in sorted(wrong.items()):
        side = "ahead of" if skew > 0 else "behind"
        yield warning(
            LABEL,
            f"the clock of {whose} is {abs(skew):.0f} s {side} this machine's",
            "Run a time service on both, such as chrony or systemd-timesyncd.",
        )
    if skews and not wrong:
        largest = max(map(abs, skews.values()))
        yield ok(LABEL, f"{', '.join(sorted(skews))}: at most {largest:.2f} s from this machine's")
    elif not skews:
        yield ok(LABEL, "this machine's is the only one")


def database_skew(database: Database) -> float:
    """Seconds by which the clock of a database's server is ahead of this one."""
    database.now()  # connects
    began = datetime.now(UTC)
    there = database.now()
    return (there - began - (datetime.now(UTC) - began) / 2).total_seconds()
