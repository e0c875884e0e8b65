"""A healthy set-up without a process of ours: what `tapeworks doctor` has nothing to say of."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from tapeworks.storage.connection.database import Database
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord
from tapeworks.wire.versions import python_version, tapeworks_version, tensorflow_version
from tests.support.calls import Called

#: What every variable of ours begins with.
PREFIX = "TAPEWORKS_"


@contextmanager
def healthy(
    redis_url: str, places: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimpleNamespace]:
    """Redis, a database, and a worker and a scheduler that show themselves."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name in ("OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", redis_url)
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", str(places / "runs.db"))
    client, exchange = redis.Redis.from_url(redis_url), Exchange(redis_url)
    client.flushdb()
    with closing(Database(places / "runs.db")) as database:
        database.upgrade()
    exchange.register_worker(worker("w-1"))
    exchange.register_scheduler(scheduler())
    yield SimpleNamespace(url=redis_url, exchange=exchange, redis=client, places=places)
    client.close()


def worker(name: str, **said: object) -> WorkerRecord:
    """A worker's record, as it would write it now."""
    return WorkerRecord.model_validate(_process(name) | {"fingerprint": "abc"} | said)


def scheduler(**said: object) -> SchedulerRecord:
    return SchedulerRecord.model_validate(_process("s-1") | said)


def _process(name: str) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "name": name,
        "host": socket.gethostname(),
        "pid": 1,
        "since": (now - timedelta(minutes=5)).isoformat(timespec="seconds"),
        "state": "idle",
        "version": tapeworks_version(),
        "python": python_version(),
        "clock": now.isoformat(),
        "tensorflow": tensorflow_version(),
    }


def told(called: Called, level: str, label: str, found: str, remedy: str, code: int = 0) -> None:
    """One line says all of this, and the exit code is right."""
    lines = [line for line in called.out.splitlines() if found in line]
    assert lines, called.out
    assert lines[0].startswith(f"{level:9}{label:11}"), lines[0]
    assert remedy in lines[0]
    assert (called.code, called.err) == (code, ""), called.out
