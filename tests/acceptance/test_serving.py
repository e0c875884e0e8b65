"""The right Redis and the wrong database: who submits, follows or examines is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace

import pytest

from tapeworks.__main__ import run as run_command
from tapeworks.storage.connection.database import Database
from tests.support.calls import Call
from tests.support.healthy import scheduler, told

SUBMIT = "submit --images 8 --iterations 1"

ELSEWHERE = {"database": "beef", "address": "sqlite:////home/bob/other.db"}


def serve(cluster: SimpleNamespace, **database: str) -> None:
    """Have the one scheduler show itself with this database."""
    cluster.exchange.register_scheduler(scheduler(**database))


def own_id(cluster: SimpleNamespace) -> str:
    with closing(Database(cluster.places / "runs.db")) as database:
        return database.read_id()


def test_a_database_that_no_scheduler_serves_is_told(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_id(cluster)
    sentence = f"serves sqlite:///{cluster.places}/runs.db, id {own}: s-1 serves sqlite:////home/b"
    serve(cluster, **ELSEWHERE)
    submitted = call(SUBMIT)
    assert submitted.code == 0
    assert sentence in submitted.last_words
    serve(cluster, **ELSEWHERE)
    told(call("doctor"), "warning", "schedulers", f"none serves this database, id {own}", "s-1", 4)
    serve(cluster, database=own)
    assert "serves" not in call(SUBMIT).err
    cluster.exchange.deregister_scheduler("s-1")
    assert "No scheduler is alive at redis" in call(SUBMIT).last_words
    serve(cluster)  # one that has not reached its database yet may be of this one
    assert "scheduler" not in call(SUBMIT).last_words.replace("watch", "")


def test_who_follows_a_run_is_told_while_it_waits(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = call(SUBMIT).out.strip()
    monkeypatch.setattr("tapeworks.cli.commands.watch.is_unread", lambda _: False)

    def cancel(_: float) -> None:
        assert run_command(["cancel", run]) == 0

    monkeypatch.setattr("tapeworks.cli.commands.watch.time.sleep", cancel)
    serve(cluster, **ELSEWHERE)
    said = call(f"watch {run}").err
    assert "s-1 serves sqlite:////home/bob/other.db" in said
    assert f"Without one, go on with: tapeworks train --resume {run}" in said


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("seconds", "times"), [(0.0, 1), (3600.0, 0)])
def test_who_follows_runs_is_told_when_that_changes_and_redis_is_asked_now_and_then(
    seconds: float,
    times: int,
    both: bool,
    call: Call,
    cluster: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = " ".join(call(SUBMIT).out.strip() for _ in range(1 + both))
    own = own_id(cluster)
    serve(cluster, database=own)
    turns: list[Callable[[], object]] = [
        lambda: cluster.exchange.deregister_scheduler("s-1"),
        lambda: None,
        lambda: serve(cluster, database=own),
        lambda: None,
        lambda: run_command(["cancel", *runs.split()]),
    ]
    changes = iter(turns)
    monkeypatch.setattr("tapeworks.cluster.watching.serving.ASK_SECONDS", seconds)
    monkeypatch.setattr("tapeworks.cli.commands.watch.is_unread", lambda _: False)
    monkeypatch.setattr("tapeworks.cli.commands.watch.time.sleep", lambda _: next(changes)())
    watched = call(f"watch {runs}")
    assert watched.code == 1
    assert watched.err.count("No scheduler is alive at redis") == times
    assert watched.err.count("A scheduler serves this database now") == times


def test_without_a_redis_nothing_is_said_of_schedulers(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAPEWORKS_REDIS_URL")
    assert len(call(SUBMIT).err.splitlines()) == 1
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", "redis://:hush@127.0.0.1:1/0")
    called = call(SUBMIT)
    assert (called.code, "is not known" in called.last_words, "hush" in called.err) == (0, True, 0)
