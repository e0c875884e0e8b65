"""`tapeworks replay` as a user calls it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.calls import Call
from tests.support.desk import nothing_changes, told_in_one_sentence
from tests.support.forging import forge_ledger, without
from tests.support.processes import Start, all_gone
from tests.support.waiting import until

TRAIN = "train --workers 0 --images 20 --iterations 4 --name first --json"

#: Changes the database behind the program's back.
Forge = Callable[[str], None]


@pytest.fixture
def trained(call: Call) -> dict[str, Any]:
    """A run of 20 images in two microbatches, in 4 iterations."""
    values: dict[str, Any] = call(TRAIN).values
    return values


@pytest.fixture
def forge(places: Path) -> Forge:
    def change(statement: str) -> None:
        with closing(sqlite3.connect(places / "runs.db")) as connection:
            assert connection.execute(statement).rowcount > 0
            connection.commit()

    return change


def test_an_honest_history_is_the_same_bits_and_stays_as_it_is(
    trained: dict[str, Any], call: Call, places: Path
) -> None:
    with nothing_changes(places):
        called = call("replay first")
    digest = trained["parameters_digest"]
    assert called.code == 0
    assert called.out == f"4 iterations replayed, all the same bits: parameters {digest}\n"
    assert "iteration 4/4" in called.err


def test_some_iterations_alone(trained: dict[str, Any], call: Call) -> None:
    called = call("replay first 3 0-1 1 --json")
    assert called.code == 0
    assert called.values == {
        "run_id": trained["id"],
        "iterations": [0, 1, 3],
        "parameters_digest": trained["parameters_digest"],
        "same_bits": True,
        "difference": None,
    }
    assert call("replay first 2").out.startswith("1 iteration replayed, all the same bits: ")


def test_workers_replay_what_one_process_computed_and_leave_nothing(
    trained: dict[str, Any], start: Start
) -> None:
    replay = start("replay", "first", "--workers", "1")
    while replay.process.poll() is None:
        replay.descendants()
    assert replay.ended() == 0, replay.err
    assert trained["parameters_digest"] in replay.out
    assert "Starting 1 worker" in replay.err
    all_gone(replay)


def test_a_difference_is_named_and_the_exit_code_tells(
    trained: dict[str, Any], call: Call, forge: Forge, places: Path
) -> None:
    forge("UPDATE stored_iterations SET loss = 1.5 WHERE iteration = 2")
    forge("UPDATE stored_iterations SET accuracy = 2 WHERE iteration = 3")
    with nothing_changes(places):
        called = call("replay first")
    loss = trained["losses"][2]
    assert called.code == 1
    assert called.out == (
        f"Run {trained['id']} differs first in iteration 2: loss. Expected: 1.5. "
        f"Computed: {loss}.\n"
    )
    told = call("replay first --json")
    assert told.code == 1
    assert told.values["same_bits"] is False
    assert told.values["difference"] == {
        "run_id": trained["id"],
        "iteration": 2,
        "what": "loss",
        "expected": "1.5",
        "computed": str(loss),
        "place": None,
        "image": None,
    }
    assert call("replay first 0-1").code == 0


def test_an_image_that_was_not_counted_is_named(
    trained: dict[str, Any], call: Call, places: Path
) -> None:
    forge_ledger(places / "runs.db", 1, 16, without(1))
    called = call("replay first")
    assert called.code == 1
    assert "in iteration 1: times counted of image 16 of the image set" in called.out


def test_another_kind_of_machine_replays_nothing(
    trained: dict[str, Any], call: Call, forge: Forge
) -> None:
    forge("UPDATE stored_runs SET fingerprint = '0123456789abcdef'")
    called = call("replay first")
    assert (called.code, called.out) == (1, "")
    assert "fingerprint 0123456789abcdef" in called.last_words
    assert "other bits" in called.last_words


def test_other_images_replay_nothing(call: Call, places: Path) -> None:
    source = np.random.default_rng(0)
    images = source.integers(0, 256, (8, 27, 27)).astype(np.uint8)
    np.savez(places / "own.npz", images=images, labels=np.tile([3, 6], 4))
    options = "--dataset own.npz --images 8 --iterations 2"
    assert call(f"train --workers 0 --name own {options}").code == 0
    assert call("replay own").code == 0
    images[5, 13, 13] ^= 1
    np.savez(places / "own.npz", images=images, labels=np.tile([3, 6], 4))
    told_in_one_sentence(call("replay own"), 1, "began on other images")


def test_workers_of_several_kinds_promise_nothing(call: Call) -> None:
    assert call(f"{TRAIN} --allow-mixed-workers").code == 0
    told_in_one_sentence(call("replay first"), 1, "different fingerprints")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_ctrl_c_ends_a_replay_and_leaves_nothing_behind(
    workers: str, trained: dict[str, Any], start: Start, places: Path
) -> None:
    replay = start("replay", "first", "--workers", workers)
    begins = {"0": "Compiling", "1": "Starting 1 worker"}[workers]
    until(lambda: replay.says(begins), "the replay has begun")
    replay.descendants()
    replay.interrupt()
    assert replay.ended() == 130
    all_gone(replay)
    assert replay.out == ""
    assert "Traceback" not in replay.err
