"""The database: revision, speed, safety, runs without an owner, and its clock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tapeworks.cli.outputs.describe import size
from tapeworks.cluster.watching.serving import Serving, name_served
from tapeworks.doctor.findings import Finding, Level, join_names, ok, problem, warning
from tapeworks.doctor.fleet import SCHEDULERS, Seen
from tapeworks.errors import ExitCode
from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.sqlite_access import is_missing
from tapeworks.storage.maintenance import (
    Latency,
    latency,
    list_deserted_runs,
    list_queued_runs,
    postgresql_settings,
)
from tapeworks.storage.migrations import REVISION
from tapeworks.storage.owners import name_owner
from tapeworks.storage.queries.roles import Role, role_of
from tapeworks.storage.records import RunRecord, resume_words

DATABASE = "database"

#: Seconds beyond which a commit, which every iteration waits for, or a read is slow.
SLOW_COMMIT_SECONDS = 1.0
SLOW_READ_SECONDS = 0.25

#: Bytes free on the disk below which it is nearly full.
LITTLE_ROOM_BYTES = 10**9

#: File systems of other machines, on which SQLite's locks and its shared memory do not work.
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "afpfs"}
NETWORK_FILE_SYSTEMS |= {"ceph", "glusterfs", "lustre", "beegfs", "gpfs", "fuse.sshfs", "webdav"}
NETWORK_FILE_SYSTEMS |= {"fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "vboxsf"}

RUNS = "runs"

#: The remedy where no scheduler is alive.
START = "Start one at this database and this Redis with: tapeworks scheduler"

#: The remedy where no Redis is named, or one that cannot be used.
NAME = "Name the Redis of the schedulers with TAPEWORKS_REDIS_URL, to see whether one is there."

CLOCKS = "clocks"

#: Seconds that two clocks may be apart.
LARGEST_SKEW_SECONDS = 2.0


def check_database(database: Database) -> Generator[Finding, None, bool]:
    """Check that it is of use. Raises a `StorageError` for what cannot be used at all."""
    if database.file and is_missing(database.file):
        yield missing_finding(database.file, database.address)
        return False
    found = database.revision()
    if found is not None and found > REVISION:
        yield problem(
            DATABASE,
            f"{database.address} is at revision {found}, newer than this Tapeworks knows: it "
            f"needs {REVISION}",
            "Upgrade Tapeworks here to the version that the others have.",
        )
        return False
    database.check_schema()
    taken, role = latency(database), role_of(database)
    wrong = list(latency_findings(taken))
    if database.file:
        wrong += file_findings(database.file, _file_systems())
    else:
        wrong += durability_findings(postgresql_settings(database))
        wrong += role_findings(role)
    yield from wrong
    if all(finding.level is not Level.PROBLEM for finding in wrong):
        yield _usable(
            f"{database.address}, revision {REVISION}, id {database.read_id()}", taken, role
        )
    return True


def missing_finding(file: Path, address: str) -> Finding:
    """Report that no database has been made, or that none can be."""
    there = next(place for place in file.parents if place.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        remedy = "The first run makes it; if another was meant, correct TAPEWORKS_DATABASE_URL."
        return warning(DATABASE, f"there is none at {address}", remedy)
    return problem(
        DATABASE,
        f"there is none at {address}, and none can be made in {there}",
        "Name a file in a directory that can be written to.",
        ExitCode.UNREACHABLE,
    )


def _usable(shown: str, taken: Latency, role: Role | None) -> Finding:
    """Report which commands the database serves; reading alone is enough for some."""
    reads = f"{taken.read_seconds * 1000:.1f}"
    if taken.commit_seconds is None and not taken.takes_nothing and role and role.may_write:
        return ok(
            DATABASE,
            f"{shown}, reads in {reads} ms; the role {role.name} may submit, retry and change "
            "runs, but not train, schedule or delete them, nor gc and db upgrade: its owner may",
        )
    if taken.commit_seconds is None:
        return warning(
            DATABASE,
            f"{shown}, reads in {reads} ms, and may only be read by this user",
            "That serves runs, query, show, watch, compare, plot and export; train, submit and "
            "scheduler need a database that they may write to.",
        )
    commits = f"{taken.commit_seconds * 1000:.1f}"
    return ok(DATABASE, f"{shown}, reads and commits in {reads} and {commits} ms")


def latency_findings(taken: Latency) -> Iterator[Finding]:
    """Report what is slow."""
    if taken.commit_seconds is not None and taken.commit_seconds > SLOW_COMMIT_SECONDS:
        remedy = "Move it to a faster disk; every iteration waits for a commit."
        yield warning(DATABASE, f"a commit takes {taken.commit_seconds:.1f} s", remedy)
    if taken.read_seconds > SLOW_READ_SECONDS:
        remedy = "Run it nearer, or on a machine with less to do."
        yield warning(DATABASE, f"a read takes {taken.read_seconds * 1000:.0f} ms", remedy)


def file_findings(file: Path, file_systems: Mapping[str, str]) -> Iterator[Finding]:
    """Report a place that is wrong for the SQLite file."""
    kind = _kind_of(file, file_systems)
    if kind in NETWORK_FILE_SYSTEMS:
        yield warning(
            DATABASE,
            f"{file} is on a network file system, {kind}, where SQLite may lose or damage it",
            "Name a file on a disk of this machine, or a PostgreSQL, with TAPEWORKS_DATABASE_URL.",
        )
    yield from room_findings(file.parent, shutil.disk_usage(file.parent).free)


def room_findings(directory: Path, free_bytes: int) -> Iterator[Finding]:
    """Report a disk on which the history cannot grow."""
    if free_bytes < LITTLE_ROOM_BYTES:
        yield warning(
            DATABASE,
            f"only {size(free_bytes)} are free on the disk of {directory}",
            "Make room, remove old checkpoints with: tapeworks gc --older-than 30d --shrink, or "
            "name another place with TAPEWORKS_DATABASE_URL.",
        )


def durability_findings(settings: Mapping[str, str]) -> Iterator[Finding]:
    """Report settings of PostgreSQL by which a committed iteration is lost, or a text garbled."""
    off = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if settings.get(name) == "off"
    ]
    if off:
        turn_on = "; ".join(f"ALTER SYSTEM SET {name} = on" for name in off)
        yield warning(
            DATABASE,
            f"its server may lose what is committed when its machine fails: {', '.join(off)} off",
            f"Run, as its superuser: {turn_on}; SELECT pg_reload_conf()",
        )
    encoding = settings.get("server_encoding", "UTF8")
    if encoding != "UTF8":
        yield warning(
            DATABASE,
            f"its texts are encoded as {encoding}, which does not hold every name",
            "Make the database again with: createdb --encoding UTF8 --template template0",
        )


def role_findings(role: Role | None) -> Iterator[Finding]:
    """Report a role whose queries could do more than read and write the history."""
    if role and role.rules_server:
        yield warning(
            DATABASE,
            f"the role {role.name} may do more than own the history: a SELECT that it asks can "
            "read the server's files or end others' sessions",
            "Use the roles that deploy/postgresql/roles.sql makes: see docs/deployment.md.",
        )


def _file_systems() -> dict[str, str]:
    return {one.mountpoint: one.fstype for one in psutil.disk_partitions(all=True)}


def _kind_of(file: Path, file_systems: Mapping[str, str]) -> str:
    """The kind of the file system that the file is on."""
    above: Iterable[Path] = file.resolve().parents
    return next((file_systems[str(one)] for one in above if str(one) in file_systems), "")


def check_runs(database: Database, seen: Seen | None) -> Iterator[Finding]:
    """Those in the queue without a scheduler, and those whose owner is gone."""
    yield from _check_serving(database, seen)
    queued = list_queued_runs(database)
    deserted = {run.id: name_owner(run.owner) for run in list_deserted_runs(database)}
    is_scheduled = _is_scheduled(database, seen)
    if queued and not is_scheduled:
        yield _waiting(queued, is_scheduled)
    for run_id, owner in deserted.items():
        yield _report_deserted(run_id, owner, is_scheduled)
    if not deserted and (is_scheduled or not queued):
        yield ok(RUNS, f"{len(queued) or 'none'} in the queue; none without owner")


def _check_serving(database: Database, seen: Seen | None) -> Iterator[Finding]:
    """Report schedulers that all serve other databases: this one, or their Redis, is wrong."""
    if seen is None or not seen.schedulers:
        return
    serving = Serving(database.read_id(), seen.schedulers)
    if not serving.is_served:
        yield warning(
            SCHEDULERS,
            f"none serves this database, id {serving.database_id}: {name_served(serving.others)}",
            f"Name theirs with TAPEWORKS_DATABASE_URL. {START}",
        )


def _is_scheduled(database: Database, seen: Seen | None) -> bool | None:
    """Return whether a scheduler of the database is alive; None if that cannot be seen."""
    if seen is None or seen.schedulers is None:
        return None
    return Serving(database.read_id(), seen.schedulers).is_served


def _waiting(queued: list[RunRecord], is_scheduled: bool | None) -> Finding:
    found = f"{len(queued)} in the queue: {join_names([run.id for run in queued])}; "
    begun = [run for run in queued if run.started_at is not None] or queued
    by_hand = f" Without a scheduler, go on with: {resume_words(begun[0].id)}"
    if is_scheduled is None:
        return warning(RUNS, f"{found}whether a scheduler is there is not known", NAME + by_hand)
    return problem(
        RUNS, f"{found}no scheduler is there", f"{START}.{by_hand}", ExitCode.UNREACHABLE
    )


def _report_deserted(run_id: str, owner: str, is_scheduled: bool | None) -> Finding:
    found = f"{run_id} is marked as running, but its owner, {owner}, is gone or lost its lease"
    if is_scheduled:
        return warning(RUNS, found, "A scheduler with a place free takes it over: --max-runs")
    remedy = f"A scheduler would take it over, or: {resume_words(run_id)}. {START}"
    return problem(RUNS, found, remedy, ExitCode.UNREACHABLE)


def check_clocks(skews: Mapping[str, float]) -> Iterator[Finding]:
    """By how much each is ahead of this one; a lease goes by the database's, a story by all."""
    wrong = {whose: skew for whose, skew in skews.items() if abs(skew) > LARGEST_SKEW_SECONDS}
    for whose, skew in sorted(wrong.items()):
        side = "ahead of" if skew > 0 else "behind"
        yield warning(
            CLOCKS,
            f"the clock of {whose} is {abs(skew):.0f} s {side} this machine's",
            "Run a time service on both, such as chrony or systemd-timesyncd.",
        )
    if skews and not wrong:
        largest = max(map(abs, skews.values()))
        yield ok(CLOCKS, f"{', '.join(sorted(skews))}: at most {largest:.2f} s from this machine's")
    elif not skews:
        yield ok(CLOCKS, "this machine's is the only one")


def database_skew(database: Database) -> float:
    """Seconds by which the clock of a database's server is ahead of this one."""
    database.now()  # connects
    began = datetime.now(UTC)
    there = database.now()
    return (there - began - (datetime.now(UTC) - began) / 2).total_seconds()
