"""Workers: who is there, how they differ, and what is the matter with them."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tapeworks.doctor.findings import Finding, named, ok, warning
from tapeworks.doctor.groups import groups, other_versions, states
from tapeworks.doctor.seen import Seen
from tapeworks.workers.messages import WorkerRecord

#: Seconds after which a worker that is still starting hangs, or its machine is overloaded.
LONGEST_START_SECONDS = 60.0

LABEL = "workers"


def check_workers(seen: Seen) -> Iterator[Finding]:
    """How many, and what is the matter with them."""
    if not seen.workers:
        yield warning(LABEL, "none is alive", "Start one with: tapeworks worker")
        return
    wrong = [
        *other_versions(LABEL, seen.workers),
        *_other_tensorflow(seen.workers),
        *_fingerprints(seen.workers),
        *_set_aside(seen.set_aside),
        *_hanging(seen.workers),
        *_crowded(seen.workers),
    ]
    yield from wrong
    if not wrong:
        known = {worker.fingerprint for worker in seen.workers if worker.fingerprint}
        fingerprint = next(iter(known), "not taken yet")
        yield ok(LABEL, f"{states(seen.workers)}; fingerprint {fingerprint}")


def _other_tensorflow(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    found = groups((worker.tensorflow, worker.name) for worker in workers if worker.tensorflow)
    if len(found) > 1:
        shown = "; ".join(f"{one} of {named(names)}" for one, names in sorted(found.items()))
        yield warning(
            LABEL,
            f"versions of TensorFlow differ: {shown}",
            "Install the same requirements.lock on all machines.",
        )


def _fingerprints(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    found = groups((w.fingerprint, w.name) for w in workers if w.fingerprint)
    if len(found) > 1:
        shown = "; ".join(f"{one} of {named(names)}" for one, names in sorted(found.items()))
        yield warning(
            LABEL,
            f"fingerprints differ, and a run uses workers of only one: {shown}",
            "Use machines, versions and variables that are alike, or submit with "
            "--allow-mixed-workers.",
        )


def _set_aside(set_aside: dict[str, list[str]]) -> Iterator[Finding]:
    for worker, runs in sorted(set_aside.items()):
        yield warning(
            LABEL,
            f"{worker} is set aside for {named(runs)}, because its answers were wrong",
            f"See why with: tapeworks show {sorted(runs)[0]} --events; then check that machine.",
        )


def _hanging(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    names = [
        w.name for w in workers if w.state == "starting" and _age_seconds(w) > LONGEST_START_SECONDS
    ]
    if names:
        yield warning(
            LABEL,
            f"starting for more than {LONGEST_START_SECONDS:.0f} seconds: {named(names)}",
            "See what they log, and whether their machine is overloaded; then end them: "
            "their supervisor starts others.",
        )


def _age_seconds(worker: WorkerRecord) -> float:
    """How long it has been there, by its own clock."""
    try:
        since = datetime.fromisoformat(worker.since)
        now = datetime.fromisoformat(worker.clock) if worker.clock else datetime.now(UTC)
        return (now - since).total_seconds()
    except (ValueError, TypeError):  # what others write need not be a time
        return 0.0


def _crowded(workers: Sequence[WorkerRecord]) -> Iterator[Finding]:
    cores = {worker.host: worker.cores for worker in workers if worker.cores}
    cores.setdefault(socket.gethostname(), os.cpu_count() or 0)
    for host, count in sorted(Counter(worker.host for worker in workers).items()):
        if 0 < cores.get(host, 0) < count:
            yield warning(
                LABEL,
                f"{count} processes share the {cores[host]} cores of {host}",
                f"Start fewer there: tapeworks worker --processes {cores[host]}",
            )
