"""Lines that scheduler and workers log: each names its run, and none holds a secret."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tapeworks.errors import ExitCode
from tapeworks.workers.logs import SHORTEST_SECRET
from tests.support.calls import Call
from tests.support.observed import Observed

pytestmark = pytest.mark.slow

#: What a line about an attempt names.
ATTEMPT = {"run", "term", "iteration", "shard", "attempt"}

#: A password that is no part of any other word.
SECRET = "x9-sesame-open"

#: Nothing listens there.
NOWHERE = f"redis://someone:{SECRET}@127.0.0.1:1/0"


def lines(text: str) -> list[dict[str, Any]]:
    """Every line, each of which must be an object of its own."""
    return [json.loads(line) for line in text.splitlines()]


def of(found: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in found if line.get("event") == event]


def test_every_line_is_an_object_with_time_level_and_logger(observed: Observed) -> None:
    for started in (observed.scheduler, observed.worker):
        found = lines(started.err)
        assert found
        for line in found:
            assert datetime.fromisoformat(line["time"]).tzinfo == UTC
            assert {"level", "logger", "message"} <= line.keys()
        assert started.out == ""


def test_lines_about_attempts_name_run_iteration_shard_and_attempt(observed: Observed) -> None:
    scheduler, worker = lines(observed.scheduler.err), lines(observed.worker.err)
    sent, counted = of(scheduler, "attempt_sent"), of(scheduler, "answer_valid")
    taken, answered = of(worker, "attempt_taken"), of(worker, "answered_done")
    computed, again = of(worker, "attempt_computed"), of(scheduler, "sent_again")
    for kind in (sent, counted, taken, computed, answered, again):
        assert kind
        assert all(line.keys() >= ATTEMPT and line["run"] == observed.run for line in kind)
    identity = sent[0]["message"].split()[1].split(".")
    assert identity[1:] == [
        str(sent[0][name]) for name in ("term", "iteration", "shard", "attempt")
    ]
    assert all(line["worker"] for line in (*counted, *taken, *computed, *answered))


def test_a_worker_tells_of_every_attempt_that_it_is_taken_computed_and_answered(
    observed: Observed,
) -> None:
    told = dict[str, list[str]]()
    for line in lines(observed.worker.err):
        if re.match("attempt_|answered_", line.get("event", "")):
            told.setdefault(line["message"].split()[1], []).append(line["event"])
    whole = ["attempt_taken", "attempt_computed", "answered_done"]
    cut = [events for events in told.values() if events != whole]
    assert len(told) > 1 >= len(cut), "but for one at which its process was killed"
    assert all(events == whole[: len(events)] for events in cut)


def test_celery_speaks_in_the_same_way_of_a_task_which_answers_many_of_them(
    observed: Observed,
) -> None:
    found = lines(observed.worker.err)
    ended = [line for line in found if "succeeded in" in line["message"]]
    assert ended
    for line in ended:
        assert (line["logger"], line["level"]) == ("celery.app.trace", "INFO")
        assert not line.keys() & {*ATTEMPT, "worker"}, "it is about no single one"
    assert len(of(found, "answered_done")) > len(ended)


def test_lines_about_the_run_name_it(observed: Observed) -> None:
    found = lines(observed.scheduler.err)
    kinds = "run_begins", "no_workers", "redis_unreachable", "database_unreachable"
    for kind in (*kinds, "iteration_committed", "going_on", "database_back"):
        told = of(found, kind)
        assert told, kind
        assert {line["run"] for line in told} == {observed.run}
        assert all("term" in line for line in told)
    assert of(found, "iteration_committed")[0]["iteration"] == 0
    [ctrl_c] = of(found, "interrupted")
    assert ctrl_c["message"] == "Stopping after this iteration; once more to stop at once"
    assert found[-1]["event"] == "stopped"


def test_text_names_them_too(observed: Observed) -> None:
    words = f"is taken run={observed.run} term="
    [line, *_] = [line for line in observed.other_worker.err.splitlines() if words in line]
    assert " DEBUG tapeworks.workers.events: Attempt " in line
    for name in ("iteration", "shard", "attempt", "worker"):
        assert f" {name}=" in line


def test_no_secret_is_logged_through_outages_and_a_wrong_password(observed: Observed) -> None:
    for started in (observed.scheduler, observed.worker, observed.other_worker):
        text = started.out + started.err
        assert "***@/" in text, "the socket of a private Redis, without its password"
        for secret in observed.secrets:
            assert secret not in text


@pytest.mark.parametrize(
    "options", ["", "--log-format json", "--log-format json --log-level debug"]
)
@pytest.mark.parametrize("command", ["worker"])
def test_an_expected_error_is_one_line_without_the_password(
    command: str, options: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", NOWHERE)
    called = call(f"{command} {options}")
    assert called.code == ExitCode.UNREACHABLE
    assert SECRET not in called.err
    if not options:
        assert called.err.startswith("tapeworks: Redis at redis://someone:***@127.0.0.1:1/0 cannot")
        return
    [line] = of(lines(called.err), "error")
    assert line["level"] == "ERROR"
    assert line["message"].startswith("Redis at redis://someone:***@127.0.0.1:1/0 cannot be used")


def test_a_level_that_does_not_exist_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEWORKS_LOG_LEVEL", "loud")
    called = call("worker")
    assert called.code == ExitCode.WRONG_USAGE
    assert "TAPEWORKS_LOG_LEVEL as debug, info, warning or error. Received: loud" in called.err


def test_the_secret_of_these_tests_is_long_enough_to_be_looked_for() -> None:
    assert len(SECRET) >= SHORTEST_SECRET
