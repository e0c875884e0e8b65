"""The drill's judge and its clock: what is wrong is found, and only commits after a fault count."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tests.faults.chaos.checker import counted, first_difference, judged
from tests.faults.chaos.history import History, Result
from tests.faults.chaos.journal import Entry, Journal, read
from tests.faults.chaos.recovery import longest_gap, merged, recoveries, redis_away, stalls, summary
from tests.support.forging import Change, beginning, counting, forge_ledger, without
from tests.support.training import database, drive, settings, submitted

#: Ten images an iteration, in microbatches of four: a network so small that it costs nothing.
SMALL: dict[str, Any] = {"images": 10, "microbatch_size": 4, "iterations": 3}
SMALL |= {"image_side": 6, "kernel_sizes": (3,), "filters": 1}

#: Forgeries of a history, and what the judge must say: missed, counted twice, first difference.
UPDATE = "UPDATE stored_iterations SET"

FORGERIES: dict[str, tuple[str | tuple[int, Change], tuple[int, int, int | None]]] = {
    "nothing": ("", (0, 0, None)),
    "a lost microbatch": ((1, without(2)), (2, 0, None)),
    "a microbatch that takes its neighbour's image too": ((2, counting(0, 5)), (0, 1, None)),
    "an image that does not exist": ((0, counting(2, 3)), (0, 1, None)),
    "a negative place": ((0, beginning(0, -1)), (1, 1, None)),
    "another loss": (f"{UPDATE} loss = loss + 1e-12 WHERE iteration = 1", (0, 0, 1)),
    "other parameters": (f"{UPDATE} parameters_digest = x'0f' WHERE iteration = 2", (0, 0, 2)),
    "other values of images": (
        f"{UPDATE} image_values = zeroblob(80) WHERE iteration = 0",
        (0, 0, 0),
    ),
    "no values of images": (f"{UPDATE} images = 0 WHERE iteration = 1", (0, 0, 1)),
    "a lost iteration": ("DELETE FROM stored_iterations WHERE iteration = 2", (10, 0, 2)),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A history as SQL, and the id of its run."""
    directory = tmp_path_factory.mktemp("judged")
    history = database(directory)
    run = submitted(history, settings(**SMALL))
    drive(history, LocalDispatcher(), run)
    history.database.close()
    with closing(sqlite3.connect(directory / "runs.db")) as connection:
        return "\n".join(connection.iterdump()), run.id


@pytest.mark.parametrize("name", FORGERIES)
def test_the_judge_finds_what_was_done_to_a_history(
    stored: tuple[str, str], tmp_path: Path, name: str
) -> None:
    dump, run_id = stored
    forgery, (missed, double, difference) = FORGERIES[name]
    statement = forgery if isinstance(forgery, str) else ""
    for file, script in {"right": dump, "forged": dump + statement}.items():
        with closing(sqlite3.connect(tmp_path / file)) as connection:
            connection.executescript(script)
    if isinstance(forgery, tuple):
        iteration, change = forgery
        forge_ledger(tmp_path / "forged", iteration, SMALL["microbatch_size"], change)
    right, forged = (History(str(tmp_path / file)) for file in ("right", "forged"))

    verdict = judged(forged.results(run_id), forged.ledger(run_id), right.results(run_id))

    assert (verdict.missed, verdict.double_counted) == (missed, double)
    assert verdict.first_difference == difference
    assert verdict.is_good == (name == "nothing")


def test_a_run_that_has_a_problem_is_not_good() -> None:
    assert judged([], [], []).is_good
    assert not judged([], [], [], ["it hung"]).is_good


def test_an_image_counted_three_times_is_counted_twice_too_often() -> None:
    assert counted({0: 4}, [(0, 0, 4), (0, 1, 2), (0, 2, 1)]) == (0, 3)
    assert counted({0: 4}, [(0, 0, 4), (1, 0, 4)]) == (0, 4)  # an iteration that should not be


def test_more_iterations_than_expected_are_a_difference() -> None:
    result = Result(iteration=0, images=1, loss=1.0, parameters_digest="a", values_digest="b")

    assert first_difference([result, result], [result]) == 1
    assert first_difference([], [result]) == 0
    assert first_difference([result], [result]) is None


def fault(at: float, victim: str = "worker", kind: str = "kill") -> Entry:
    return {"event": "fault", "at": at, "victim": victim, "kind": kind, "target": victim}


def commit(at: float, not_before: float | None = None, run_id: str = "run") -> Entry:
    before = at if not_before is None else not_before
    return {"event": "commit", "at": at, "not_before": before, "run_id": run_id}


def test_recovery_is_from_the_fault_to_the_next_commit() -> None:
    entries = [commit(1.0), fault(2.0), fault(2.5, "redis"), commit(4.0), fault(5.0), commit(5.5)]

    assert recoveries(entries) == {("worker", "kill"): [2.0, 0.5], ("redis", "kill"): [1.5]}


def test_a_commit_that_may_be_older_than_the_fault_is_no_recovery() -> None:
    entries = [commit(1.0), fault(2.0), commit(2.1, not_before=1.9), commit(3.0, not_before=2.9)]

    assert recoveries(entries) == {("worker", "kill"): [1.0]}


def test_a_fault_without_a_commit_after_it_never_recovered() -> None:
    assert recoveries([commit(1.0), fault(2.0)]) == {("worker", "kill"): [math.inf]}
    assert stalls([commit(1.0), fault(2.0)]) == {("worker", "kill"): [math.inf]}


def test_a_stall_shows_also_behind_the_next_commit() -> None:
    entries = [commit(1.0), fault(2.0), commit(2.1), commit(7.0), fault(8.0, "redis"), commit(8.2)]

    assert recoveries(entries)["worker", "kill"] == [pytest.approx(0.1)]
    assert stalls(entries) == {
        ("worker", "kill"): [pytest.approx(4.9)],
        ("redis", "kill"): [pytest.approx(0.2)],
    }


def test_summary_gives_median_95th_percentile_and_worst() -> None:
    told = summary([float(seconds) for seconds in range(100, 0, -1)])

    assert (told.faults, told.median, told.percentile_95, told.worst) == (100, 50.5, 95.0, 100.0)
    assert summary([3.0]).percentile_95 == 3.0


def test_recoveries_of_several_seeds_are_put_together() -> None:
    one, other = {("redis", "kill"): [1.0]}, {("redis", "kill"): [2.0], ("redis", "flush"): [3.0]}

    assert merged([one, other]) == {("redis", "kill"): [1.0, 2.0], ("redis", "flush"): [3.0]}


def test_the_longest_gap_is_within_a_run() -> None:
    entries = [commit(1.0), commit(2.0), commit(50.0, run_id="next"), commit(53.0, run_id="next")]

    assert longest_gap(entries) == 3.0


def test_redis_is_away_from_its_kill_to_the_next_answer() -> None:
    pause = fault(1.0, "redis", "pause")
    healed = [{"event": "healed", "at": at, "target": "redis"} for at in (2.0, 6.5)]

    assert redis_away([pause, healed[0], fault(5.0, "redis"), healed[1]]) == [1.5]


def test_a_journal_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock: Callable[[], float] = lambda: 1000.0  # noqa: E731
    monkeypatch.setattr("time.time", clock)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write("fault", victim="redis")
    journal.write("commit", 990.0, iteration=3)
    journal.close()

    entries = read(tmp_path / "journal.jsonl")
    assert [(entry["event"], entry["at"]) for entry in entries] == [
        ("commit", 990.0),
        ("fault", 1000.0),
    ]
    assert entries[1]["monotonic"] - entries[0]["monotonic"] == pytest.approx(10.0, abs=0.5)
