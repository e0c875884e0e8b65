"""All checks, one after the other; what cannot be reached keeps none of the others back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from tapeworks.doctor.database import (
    DATABASE,
    check_clocks,
    check_database,
    check_runs,
    database_skew,
)
from tapeworks.doctor.findings import Finding, ok, run_check, warning
from tapeworks.doctor.fleet import (
    SCHEDULERS,
    WORKERS,
    Seen,
    check_schedulers,
    check_workers,
    read_registry,
    redis_skew,
)
from tapeworks.doctor.machine import (
    check_data_sets,
    check_left_overs,
    check_threads,
    check_variables,
)
from tapeworks.doctor.redis import (
    ACCESS,
    REDIS,
    check_access,
    check_redis,
    diagnose,
    version_findings,
)
from tapeworks.places import Places
from tapeworks.storage.connection.database import Database
from tapeworks.wire.errors import WorkersError
from tapeworks.wire.redis_client import connect
from tapeworks.wire.redis_programs import find_program


class Examination:
    """Finds one thing after the other, and remembers what later checks need."""

    def __init__(self, settings: Callable[[], Places], environment: Mapping[str, str]) -> None:
        self._settings, self._environment = settings, environment
        self._seen: Seen | None = None
        self._skews: dict[str, float] = {}

    def findings(self) -> Iterator[Finding]:
        """All of them; each comes as soon as it is known."""
        yield from check_variables(self._environment)
        yield from run_check(REDIS, self._redis)
        yield from run_check(DATABASE, self._database)
        yield from check_clocks(self._skews)
        yield from check_data_sets(self._environment)
        yield from check_threads(self._environment)
        yield from check_left_overs(Path(tempfile.gettempdir()))

    def _redis(self) -> Iterator[Finding]:
        try:
            url = self._settings().named_redis_url
            if url is None:
                program = find_program()
                started = f"{program.version}, {program.path}"
                yield ok(REDIS, f"none is named; train would start {started}")
                yield from version_findings(program.version)
                yield ok(WORKERS, "train would start its own")
                return
            with closing(connect(url)) as client:
                yield from check_redis(client, url)
                yield from run_check(ACCESS, lambda: check_access(client, url))
                self._seen = read_registry(client, url)
                self._skews = {"Redis": redis_skew(client, url)} | self._seen.skews
        except WorkersError as error:
            yield diagnose(error)
            for label in (WORKERS, SCHEDULERS):
                yield warning(label, "not known while Redis cannot be used", "Repair Redis first.")
            return
        yield from check_workers(self._seen)
        yield from check_schedulers(self._seen)

    def _database(self) -> Iterator[Finding]:
        with closing(Database(self._settings().database_url)) as database:
            is_usable = yield from check_database(database)
            if is_usable:
                if not database.is_sqlite:
                    self._skews["the database"] = database_skew(database)
                yield from check_runs(database, self._seen)
