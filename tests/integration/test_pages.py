"""Listings a part at a time, on both databases: all parts together are the whole listing."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from tapeworks.storage.history import History
from tapeworks.storage.queries.pages import (
    LedgerPlace,
    Part,
    list_events,
    list_iterations,
    list_ledger,
    list_stored_checkpoints,
    read_runs,
)
from tapeworks.storage.queries.search import Place, find_runs
from tapeworks.storage.queries.views import COLUMNS
from tests.support.made_up import LEASE, commit, submit, submit_and_claim


@pytest.fixture
def history(either_history: History) -> History:
    return either_history


def configuration(seed: int, **more: Any) -> dict[str, Any]:
    return {"seed": seed, "learning_rate": seed / 7, "allow_mixed_workers": seed > 2, **more}


@pytest.fixture
def mixed(history: History) -> History:
    """Runs that differ in every kind of column, some of them without a value."""
    for seed in range(1, 6):
        options = {"options": {"width": seed % 3, "kind": "ab"[seed % 2]}} if seed > 1 else {}
        run = submit(
            history,
            name=f"name {seed % 2}" if seed > 2 else None,
            priority=seed % 3,
            tags={"letter": "ab"[seed % 2]} if seed > 2 else {},
            configuration=configuration(seed, **options),
            network_source="width = 2\n",
        )
        if seed in {2, 4}:
            commit(history, history.claim(run.id, "alice", LEASE))
    submit(history)
    return history


def _one_by_one(history: History, sort: str, *, descending: bool) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = find_runs(
            history.database,
            sort=sort,
            descending=descending,
            limit=1,
            after=after,
            columns=["id", sort],
        )
        if not page.rows:
            return found
        [(run_id, value)] = page.rows
        found.append(run_id)
        after = Place(value=value, run_id=str(run_id))


@pytest.mark.parametrize("descending", [True, False])
def test_runs_one_by_one_are_all_runs(mixed: History, descending: bool) -> None:
    for sort in (*COLUMNS["runs"], "option.width", "option.kind", "option.none"):
        whole = find_runs(mixed.database, sort=sort, descending=descending, columns=["id"])
        assert len(whole.rows) == 6
        assert _one_by_one(mixed, sort, descending=descending) == whole.column("id"), sort


def test_new_and_changed_runs_do_not_move_a_place(history: History) -> None:
    first, second, third = (submit(history, priority=number) for number in (1, 2, 3))
    page = find_runs(history.database, sort="priority", limit=2, columns=["priority", "id"])
    assert [row[1] for row in page.rows] == [third.id, second.id]
    submit(history, priority=9)
    history.queue.delete(second.id)
    place = Place(value=page.rows[-1][0], run_id=second.id)
    rest = find_runs(history.database, sort="priority", after=place, columns=["id"])
    assert rest.column("id") == [first.id]


def test_runs_are_read_with_their_tags(history: History) -> None:
    first, second = submit(history, tags={"b": "2", "a": "1"}), submit(history)
    found = read_runs(history.database, [second.id, "nobody", first.id])
    assert found == [(second, {}), (first, {"a": "1", "b": "2"})]
    assert list(found[1][1]) == ["a", "b"]


def test_parts_of_a_run_are_the_whole(history: History) -> None:
    claim = submit_and_claim(history)
    for number in range(3):
        commit(history, claim, number)
    database, run_id = history.database, claim.run_id

    parts = [list_iterations(database, run_id, Part(first=n, limit=1)) for n in range(4)]
    assert list(chain(*parts)) == history.iterations(run_id)
    assert parts[3] == []

    for limit in (1, 2, 4, 100):
        place, entries = LedgerPlace(iteration=0, entry=0), []
        while part := list_ledger(database, run_id, place, limit):
            assert len(part) <= limit
            entries += part
            place = place.behind(part)
        assert entries == history.ledger(run_id)
    second = list_ledger(database, run_id, LedgerPlace(iteration=0, entry=1), 9, 1)
    assert second == history.ledger(run_id, 1)[1:]

    events = [list_events(database, run_id, Part(first=n, limit=1)) for n in range(9)]
    assert list(chain(*events)) == history.events(run_id)

    kept = list_stored_checkpoints(database, run_id, Part(first=1, limit=2))
    assert [one.completed_iterations for one in kept] == [1, 2]
    stored = history.checkpoint(run_id, 2)
    assert (kept[1].digest, kept[1].bytes) == (stored.digest, len(stored.parameters))
