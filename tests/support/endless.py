"""A `tapeworks train` that is stopped from outside, long before its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tapeworks.model.config import RunConfig, run_config
from tests.support.calls import Call
from tests.support.processes import Started, all_gone
from tests.support.training import Digests
from tests.support.waiting import until

Undisturbed = Callable[[RunConfig], Digests]

#: So many iterations that no machine is through before the signal comes.
MANY = 100_000

TRAIN = f"train --name it --images 16 --iterations {MANY} --checkpoint-every {MANY}".split()


def iterations(database: Path) -> int:
    """The number of committed iterations of all runs in the file."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'iterations'")
        if not tables.fetchone():
            return 0
        [(count,)] = connection.execute("SELECT count(*) FROM iterations").fetchall()
    return int(count)


def begun(started: Started, more_than: int = 3, processes: int = 2) -> None:
    """Wait until a training has committed some iterations, and remember its processes.

    It must have started so many at least: Redis and a worker, or none.
    """

    def look() -> bool:
        assert started.process.poll() is None, started.err
        return iterations(started.directory / "runs.db") > more_than

    until(look, "some iterations are committed")
    assert len(started.descendants()) >= processes


def drained(training: Started) -> None:
    """Press Ctrl-C once: it ends after the iteration, says how to go on, and leaves nothing."""
    training.interrupt()
    assert training.ended() == 130
    all_gone(training)
    assert "Stopping after this iteration" in training.err
    assert "tapeworks train --resume" in training.err
    assert "Traceback" not in training.err


def goes_on_to_the_same_bits(call: Call, undisturbed: Undisturbed) -> None:
    """Resume the run without a queue for a few more iterations, and compare."""
    done = call("show it --json").values["completed_iterations"]
    assert 0 < done < MANY
    resumed = call(f"train --resume it --workers 0 --stop-after {done + 3} --json")
    assert resumed.code == 0, resumed.err
    values = resumed.values
    assert (values["status"], values["completed_iterations"]) == ("paused", done + 3)
    expected = undisturbed(run_config({"images": 16, "iterations": done + 3}))
    assert values["parameters_digest"] == expected.parameters
    assert values["history_digest"] == expected.history
