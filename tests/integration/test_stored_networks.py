"""Sources of users' networks: stored once, read as they were, and there while a run is of them."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tapeworks.storage.errors import (
    NetworkDamaged,
    NetworkNotFound,
    NetworkNotText,
    StateConflict,
    ValueNotPlain,
)
from tapeworks.storage.history import History
from tapeworks.storage.networks import prune_networks, store_network
from tapeworks.storage.queries.search import query
from tests.support.made_up import LEASE, commit, submit
from tests.support.waiting import until

SOURCE = "def losses(parameters, images, labels, *, hidden=64):\r\n    return 'Größe €' # % :x\n"
DIGEST = hashlib.sha256(SOURCE.encode()).hexdigest()

WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'")


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def stored(history: History) -> list[tuple[object, ...]]:
    return list(query(history.database, "SELECT digest, source, runs FROM networks").rows)


def test_a_source_is_stored_once_and_read_to_the_last_byte(history: History) -> None:
    runs = [submit(history, network_source=SOURCE) for _ in range(2)]
    other = submit(history)
    assert {run.network_digest for run in runs} == {DIGEST}
    assert [history.find_run(run.id).network_digest for run in (*runs, other)] == [
        DIGEST,
        DIGEST,
        None,
    ]
    assert history.network_source(DIGEST) == SOURCE
    assert stored(history) == [(DIGEST, SOURCE, 2)]


def test_several_submitters_at_once_store_one_source(history: History) -> None:
    together = threading.Barrier(4)

    def submit_together(_: int) -> str | None:
        together.wait()
        return submit(history, network_source=SOURCE).network_digest

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(submit_together, range(4))) == {DIGEST}
    assert stored(history) == [(DIGEST, SOURCE, 4)]


@pytest.mark.parametrize(("source", "error"), [("\ud800", NetworkNotText), ("\0", ValueNotPlain)])
def test_what_no_database_holds_as_text_is_refused_and_nothing_stored(
    history: History, source: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        submit(history, network_source=source)
    assert (history.runs(), stored(history)) == ([], [])


def test_a_source_that_is_not_there_or_damaged_is_told(history: History) -> None:
    with pytest.raises(NetworkNotFound, match="no run of this database is of it"):
        history.network_source(DIGEST)
    submit(history, network_source=SOURCE)
    with history.database.write() as connection:
        connection.execute(text("UPDATE stored_networks SET source = 'import os'"))
    with pytest.raises(NetworkDamaged, match=DIGEST):
        history.network_source(DIGEST)


def test_a_source_goes_when_no_run_is_of_it_and_not_before(history: History) -> None:
    kept, gone = submit(history, network_source=SOURCE), submit(history, network_source="other")
    twin = submit(history, network_source=SOURCE)
    assert prune_networks(history.database, dry_run=False) == 0
    for run in (gone, twin):
        history.queue.delete(run.id)
    assert prune_networks(history.database, dry_run=True) == 1
    assert {digest for digest, *_ in stored(history)} == {DIGEST, gone.network_digest}
    assert prune_networks(history.database, dry_run=False) == 1
    assert history.network_source(DIGEST) == SOURCE
    history.queue.delete(kept.id)
    assert prune_networks(history.database, dry_run=False) == 1
    assert stored(history) == []
    assert submit(history, network_source=SOURCE).network_digest == DIGEST


def test_a_database_lets_no_source_go_that_a_run_is_of(history: History) -> None:
    submit(history, network_source=SOURCE)
    with pytest.raises(StateConflict), history.database.write() as connection:
        connection.execute(text("DELETE FROM stored_networks"))
    assert history.network_source(DIGEST) == SOURCE


def test_what_is_removed_waits_for_a_run_that_is_being_submitted(
    history: History,
) -> None:
    history.queue.delete(submit(history, network_source=SOURCE).id)
    run = submit(history)

    def is_waiting() -> bool:
        with history.database.read() as other:
            return bool(other.scalar(WAITING))

    with ThreadPoolExecutor(1) as pool:
        with history.database.write() as connection:
            store_network(connection, SOURCE)  # which is there
            removed = pool.submit(prune_networks, history.database, dry_run=False)
            if not history.database.is_sqlite:  # which lets one transaction write at a time
                until(is_waiting, "the removal waits for a lock")
            of_network = text("UPDATE stored_runs SET network_digest = :digest")
            connection.execute(of_network, {"digest": DIGEST})
        assert removed.result(LEASE) == 0
    assert history.find_run(run.id).network_digest == DIGEST
    assert history.network_source(DIGEST) == SOURCE


def test_a_ledger_says_of_which_network_it_is(history: History) -> None:
    for source in (SOURCE, None):
        run = submit(history, network_source=source)
        commit(history, history.claim(run.id, "alice", LEASE), 0)
    found = query(
        history.database, "SELECT network_digest FROM ledger ORDER BY run_id, first_image"
    )
    assert found.column("network_digest") == [DIGEST] * 3 + [None] * 3
