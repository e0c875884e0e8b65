"""The ledger proves in SQL that every image of every iteration was counted exactly once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.wire.messages import WorkerRecord
from tapeworks.wire.versions import tapeworks_version
from tests.support.fleet import Fleet
from tests.support.forging import Change, again, counting, emptied, forge_ledger, without
from tests.support.mischief import Mischief
from tests.support.processes import ROOT
from tests.support.training import SETTINGS, drive, settings, submitted, through

#: Every image of every iteration, with each line of the ledger that counts it.
COUNTED = """
WITH RECURSIVE numbers(image) AS (
    SELECT 0 UNION ALL SELECT image + 1 FROM numbers
    WHERE image + 1 < (SELECT max(images) FROM iterations)
)
SELECT i.run_id, i.iteration, n.image, l.worker, l.attempt
FROM iterations AS i
JOIN numbers AS n ON n.image < i.images
LEFT JOIN ledger AS l ON l.run_id = i.run_id AND l.iteration = i.iteration
    AND n.image >= l.first_image AND n.image < l.first_image + l.image_count
"""

#: What is not counted exactly once, and what is counted though the iteration has no such image.
VIOLATIONS = f"""
SELECT run_id, iteration, image, count(worker) AS times FROM ({COUNTED})
GROUP BY run_id, iteration, image HAVING count(worker) <> 1
UNION ALL
SELECT l.run_id, l.iteration, i.images, 1 FROM ledger AS l
LEFT JOIN iterations AS i ON i.run_id = l.run_id AND i.iteration = l.iteration
WHERE i.images IS NULL OR l.first_image < 0 OR l.first_image + l.image_count > i.images
"""

#: Ways to break the promise behind the program's back: an iteration, and what its ledger becomes.
FORGERIES: dict[str, tuple[int, Change]] = {
    "a microbatch is lost": (1, without(3)),
    "a microbatch is counted again beside others": (1, again(3, 50)),
    "a microbatch claims its neighbour's image": (2, counting(0, 17)),
    "a microbatch claims an image too few": (2, counting(0, 15)),
    "an image is counted that the iteration does not have": (0, counting(6, 5)),
    "a whole iteration has no ledger": (4, emptied),
}


@pytest.fixture
def file(history: History, fleet: Fleet, tmp_path: Path) -> Path:
    """The database of two runs, one of which got its answers spoilt, doubled and in reverse."""
    config = settings(iterations=5, shards=3)
    drive(history, CeleryDispatcher(fleet.redis_url), submitted(history, config))
    drive(history, through(Mischief(fleet.redis_url, 3)), submitted(history, config))
    history.database.close()
    return tmp_path / "runs.db"


def asked(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def test_sql_shows_every_image_counted_once_and_finds_every_forgery(
    file: Path, fleet: Fleet, tmp_path: Path
) -> None:
    assert asked(file, VIOLATIONS) == []
    counted = asked(file, COUNTED)
    assert len(counted) == len({row[:3] for row in counted}) == 2 * 5 * SETTINGS["images"]
    workers = {worker.name for worker in fleet.exchange.workers()}
    assert all(row[3] in workers and int(str(row[4])) >= 1 for row in counted)

    told = asked(file, (ROOT / "docs" / "exactly_once.sql").read_text(encoding="utf-8"))
    assert {row[2:5] for row in told} == {(SETTINGS["images"], 1, 1)}
    assert {row[5] for row in told} <= workers

    for name, (iteration, change) in FORGERIES.items():
        forged = tmp_path / "forged.db"
        shutil.copy(file, forged)
        forge_ledger(forged, iteration, SETTINGS["microbatch_size"], change)
        assert asked(forged, VIOLATIONS) != [], name


@pytest.fixture
def liars(fleet: Fleet) -> Iterator[None]:
    """Have workers registered in whose names answers are spoilt, so that they are heard."""
    names = [f"liar-{number}" for number in range(6)]
    for name in names:
        fleet.exchange.register_worker(
            WorkerRecord(
                name=name,
                host="here",
                pid=1,
                since="2026-01-01",
                state="idle",
                fingerprint=fleet.fingerprint(),
                version=tapeworks_version(),
            )
        )
    yield
    for name in names:
        fleet.exchange.deregister_worker(name)


@pytest.mark.usefixtures("liars")
def test_the_ledger_names_the_attempt_that_was_counted(history: History, fleet: Fleet) -> None:
    exchange = Mischief(fleet.redis_url, shards=3)
    run = submitted(history, settings(iterations=2, shards=3))
    drive(history, through(exchange), run)
    records = history.iterations(run.id)
    for record in records:
        lines = history.ledger(run.id, record.iteration)
        assert {line.attempt for line in lines} == {1}  # the right copy came before the second
        assert record.attempts >= record.shards == 3
    assert records[0].attempts > 3  # of what was sent ahead, all copies may be looked at together
