"""The estimate of what a run stores, beside what it has stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tapeworks.model.config import RunConfig, restore_config, run_config
from tapeworks.scheduler.cadence import is_kept
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.footprint import describe_footprint, estimate_footprint
from tapeworks.storage.history import History
from tests.support.training import database, drive, settings, submitted


def stored_bytes(history: History) -> int:
    """The size of a database's file once everything is moved into it."""
    with history.database.read() as connection:
        count, size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_count", "page_size")
        )
    return int(count * size)


@pytest.mark.parametrize(
    "given",
    [
        {"images": 16, "iterations": 40, "optimizer": "adam"},
        {"images": 16, "iterations": 60, "optimizer": "momentum", "checkpoint_every": 3},
        {
            "images": 360,
            "images_per_iteration": 180,
            "iterations": 100,
            "record_images_every": 2,
            "checkpoint_every": 100,
        },
    ],
)
def test_a_run_stores_what_was_estimated(given: dict[str, Any], tmp_path: Path) -> None:
    history = database(tmp_path)
    before = stored_bytes(history)
    run = submitted(history, settings(**given))
    expected = estimate_footprint(restore_config(run.configuration)).total_bytes
    drive(history, LocalDispatcher(), run)

    assert stored_bytes(history) - before == pytest.approx(expected, rel=0.15)
    history.database.close()


@pytest.mark.parametrize("every", [1, 3, 7, 20, 50])
@pytest.mark.parametrize("evaluated", [0, 1, 4, 6, 20])
def test_checkpoints_are_counted_as_they_are_kept(every: int, evaluated: int) -> None:
    config = RunConfig(
        iterations=20, checkpoint_every=every, test_images=5, evaluate_every=evaluated
    )
    kept = [done for done in range(21) if done in {0, 20} or is_kept(config, done)]

    assert estimate_footprint(config).checkpoints == len(kept)


def test_only_what_is_large_is_told_with_the_setting_that_makes_it_less() -> None:
    small = RunConfig()
    wide = run_config({"iterations": 8000, "optimizer": "adam"})
    many = run_config({"images": 10_000, "iterations": 4000, "checkpoint_every": 400})

    assert describe_footprint([small]) is None
    told = describe_footprint([wide])
    assert told is not None
    assert told.startswith("This run will store some 286 MB in the database")
    assert "8,001 checkpoints of 35 kB" in told
    assert told.endswith("less with --checkpoint-every 800")
    told = describe_footprint([small, many])
    assert told is not None
    assert told.startswith("These 2 runs")
    assert told.endswith(
        "most of it the values of single images; less with --record-images-every 400"
    )
