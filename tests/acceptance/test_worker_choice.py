"""`train` without `--workers`: in this process or with workers, and what it says of that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tapeworks.cluster import forecast
from tapeworks.model.config import RunConfig, run_config
from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.endless import TRAIN, begun, drained, goes_on_to_the_same_bits
from tests.support.processes import Start
from tests.support.training import Digests
from tests.support.waiting import until

Undisturbed = Callable[[RunConfig], Digests]

SMALL = "--images 20 --iterations 3"


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many cores `train` finds."""
    name = "tapeworks.cluster.preparation.core_count"
    return lambda count: monkeypatch.setattr(name, lambda: count)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_a_small_run_is_computed_in_process_and_a_line_says_so(
    count: int, call: Call, cores: Callable[[int], None], found: History
) -> None:
    cores(count)
    called = call(f"train {SMALL}")
    assert called.code == 0
    said, loading, compiling, *_ = called.err.splitlines()
    assert said.startswith("Computing in this process: ")
    assert said.endswith("would hardly be faster for 3 iterations of 20 images")
    assert (loading, compiling) == ("Loading TensorFlow", "Compiling")
    [run] = found.runs()
    assert {each.worker for each in found.ledger(run.id)} == {"in-process"}


def test_of_the_choice_nothing_is_on_stdout_with_json(call: Call) -> None:
    called = call(f"train {SMALL} --json")
    assert called.code == 0
    assert json.loads(called.out)["status"] == "completed"
    assert called.err.count("Computing in this process") == 1


def test_a_run_that_pays_gets_workers_and_the_same_bits(
    call: Call,
    cores: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: Undisturbed,
) -> None:
    for free in ("START_SECONDS", "ITERATION_SECONDS", "SHARD_SECONDS", "BYTE_SECONDS"):
        monkeypatch.setattr(forecast, free, 0.0)
    cores(2)
    called = call(f"train {SMALL} --json")
    assert called.code == 0
    assert called.err.splitlines()[1] == "Starting 2 workers"
    assert "Computing in this process" not in called.err
    expected = undisturbed(run_config({"images": 20, "iterations": 3}))
    assert called.values["parameters_digest"] == expected.parameters
    assert called.values["history_digest"] == expected.history


def test_workers_that_were_asked_for_and_are_no_faster_are_told_of_once(call: Call) -> None:
    called = call(f"train {SMALL} --workers 1")
    assert called.code == 0
    assert "\n1 worker is no faster than this process alone for 3 iterations" in called.err
    assert called.err.count("no faster") == 1
    assert "Starting 1 worker" in called.err


def test_only_iterations_that_are_to_come_are_reckoned_with(call: Call) -> None:
    paused = call("train --images 20 --iterations 9 --stop-after 2 --name it")
    assert paused.code == 0
    assert "for 2 iterations of 20 images" in paused.err
    resumed = call("train --resume it --stop-after 7")
    assert resumed.code == 0
    assert "for 5 iterations of 20 images" in resumed.err
    assert "for 2 iterations of 20 images" in call("train --resume it").err


def test_a_run_that_another_kind_of_machine_began_is_refused_as_with_workers(
    call: Call, places: Path
) -> None:
    assert call(f"train {SMALL} --stop-after 1 --name it").code == 0
    with closing(sqlite3.connect(places / "runs.db")) as connection, connection:
        connection.execute("UPDATE stored_runs SET fingerprint = 'elsewhere'")
    for workers in ("", " --workers 1"):
        refused = call(f"train --resume it{workers}")
        assert (refused.code, refused.out) == (1, "")
        assert "elsewhere" in refused.last_words


def test_ctrl_c_ends_the_process_that_computes_alone_after_the_iteration(
    start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    training = start(*TRAIN)
    begun(training, processes=0)
    assert "Computing in this process" in training.err
    drained(training)
    assert call("show it --json").values["status"] == "paused"
    goes_on_to_the_same_bits(call, undisturbed)


def test_ctrl_c_twice_ends_it_within_the_iteration(start: Start, call: Call) -> None:
    slow = ["--images", "300", "--unfolding", "full", "--iterations", "1000"]
    training = start("train", "--workers", "0", "--name", "it", *slow)
    until(lambda: training.says("iteration 1/1000"), "it computes")
    training.interrupt()
    until(lambda: training.says("once more to stop at once"), "the first Ctrl-C is answered")
    training.interrupt()
    assert training.ended() == 130
    assert "Traceback" not in training.err
    assert call("show it --json").values["status"] == "paused"
