"""Workers and schedulers: up, late or unknown, as far as it is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.storage.history import History
from tapeworks.storage.queries.overview import WorkerTotal, find_running, total_workers
from tapeworks.web.pages.living import Living, Lookout
from tapeworks.web.pages.workers import state_of, workers_context
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord
from tests.support.made_up import LEASE, commit, submit
from tests.support.redis_servers import redis_with
from tests.support.web import client_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def total(**values: Any) -> WorkerTotal:
    given: dict[str, Any] = {
        "name": "w",
        "runs": 1,
        "serves": False,
        "images": 10,
        "seconds": 2.0,
        "last_at": NOW,
    }
    return WorkerTotal(**given | values)


def worker(name: str) -> WorkerRecord:
    return WorkerRecord(name=name, host="h", pid=1, since="2026-03-01T12:00:00", state="busy")


def scheduler(name: str, runs: tuple[str, ...]) -> SchedulerRecord:
    return SchedulerRecord(name=name, host="h", pid=1, since="now", state="driving", runs=runs)


@pytest.mark.parametrize(
    ("names", "problem", "serves", "state"),
    [
        ({"w"}, None, True, "up"),
        ({"w"}, None, False, "up"),
        ({"other"}, None, True, "late"),
        ({"other"}, None, False, "unknown"),
        (set(), "Redis is away", True, "unknown"),
    ],
)
def test_a_worker_is_up_late_or_unknown(
    names: set[str], problem: str | None, serves: bool, state: str
) -> None:
    assert state_of(total(serves=serves), names, Living(problem=problem)) == state


def test_a_driver_is_up_until_its_lease_is_over(history: History) -> None:
    history.claim(submit(history).id, "host:boot:7:1/0", LEASE)
    running, now = find_running(history.database), history.database.now()
    [driver] = workers_context(running, [], Living(), now)["drivers"]
    assert (driver.name, driver.state) == ("process 7 on host", "up")
    later = now + timedelta(seconds=LEASE + 1)
    [driver] = workers_context(running, [], Living(), later)["drivers"]
    assert driver.state == "late"


def test_workers_are_summed_over_the_newest_runs(either_history: History) -> None:
    history = either_history
    for runs in range(3):
        claim = history.claim(submit(history).id, "alice", LEASE)
        for iteration in range(runs + 1):
            commit(history, claim, iteration)
    history.queue.cancel(history.runs()[-1].id)
    [found] = total_workers(history.database, 2, 10)
    assert (found.name, found.runs, found.serves) == ("worker-1", 2, True)
    assert found.images == 20 * (2 + 3)
    assert found.last_at.tzinfo is not None


def test_without_redis_the_page_says_so_and_guesses_nothing(
    client: TestClient, history: History
) -> None:
    commit(history, history.claim(submit(history, name="mine").id, "alice", LEASE), 0)
    text = client.get("/workers").text
    assert "name it with TAPEWORKS_REDIS_URL" in text
    assert '<span class="state unknown">unknown</span>' in text
    assert ">mine</a>" in text
    assert "Workers at Redis" not in text


def test_a_redis_that_is_away_is_told_and_its_password_is_not(history: History) -> None:
    with client_of(history, redis_url="redis://me:hush@127.0.0.1:1/0") as client:
        answer = client.get("/workers")
    assert answer.status_code == 200
    assert "Redis at redis://me@127.0.0.1:1/0 cannot be used" in answer.text.replace(":***", "")
    assert "hush" not in answer.text


def test_redis_is_asked_once_a_second_for_all_who_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    lookout, asked = Lookout("redis://127.0.0.1:1/0"), list[str]()

    def ask(url: str) -> Living:
        asked.append(url)
        return Living()

    monkeypatch.setattr(lookout, "_ask", ask)
    clock = iter([10.0, 10.0, 10.5, 11.1, 11.1])
    monkeypatch.setattr("tapeworks.web.pages.living.time.monotonic", lambda: next(clock))
    for _ in range(3):
        lookout.look()
    assert len(asked) == 2


def test_who_shows_himself_at_redis_is_data(history: History) -> None:
    with redis_with() as url:
        exchange, name = Exchange(url), "<b>w</b>"
        exchange.register_worker(worker(name).model_copy(update={"images_per_second": 1234.5}))
        exchange.announce_run("run-1", BuiltinNetwork())
        exchange.quarantine("run-1", [name])
        exchange.register_scheduler(scheduler("s", ("run-1",)))
        with client_of(history, redis_url=url) as client:
            text = client.get("/workers").text
    assert "<b>" not in text
    assert '<td>&lt;b&gt;w&lt;/b&gt;</td><td><span class="state up">up</span></td>' in text
    assert '<td class="right">1,234</td>' in text
    assert "<td>run-1</td>" in text
    assert '<a href="/runs/run-1">run-1</a>' in text
