"""Nothing but plain values reaches a database, and both databases refuse the rest alike."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select, text

from tapeworks.storage.errors import (
    InvalidLine,
    InvalidName,
    InvalidPriority,
    InvalidTag,
    ValueNotPlain,
)
from tapeworks.storage.history import History
from tapeworks.storage.records import EventRecord
from tapeworks.storage.rows import store
from tapeworks.storage.run_queue import NewRun
from tapeworks.storage.tables import checkpoints
from tests.support.training import settings, submitted


class Level(Enum):
    LOW = 1


def new_run(**values: Any) -> NewRun:
    plain: dict[str, Any] = {"name": None, "configuration": {}, "iterations": 1}
    return NewRun(**plain | {"parameters": b"", "parameters_digest": "0"} | values)


#: What a driver would store as something else, or not at all.
ODD = (np.int64(2), np.int8(2), np.bool_(True), Level.LOW, 2**63, -(2**64), object(), "a\0b")

#: What a run may not have, with what is raised.
REFUSED: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"priority": np.int64(-5)}, InvalidPriority),
    ({"priority": True}, InvalidPriority),
    ({"priority": 10**6 + 1}, InvalidPriority),
    ({"name": b"bytes"}, InvalidName),
    ({"name": 5}, InvalidName),
    ({"note": 5}, InvalidLine),
    ({"tags": {"fold": 3}}, InvalidTag),
    ({"tags": {3: "fold"}}, InvalidTag),
]


def test_a_value_that_is_not_plain_is_refused_before_the_database_sees_it(
    either_history: History,
) -> None:
    completed = checkpoints.c.completed_iterations
    with either_history.database.read() as connection:
        for value in ODD:
            with pytest.raises(ValueNotPlain, match=r"Expected a number of 64 bits, .* Received: "):
                connection.execute(select(completed).where(completed == value))
            with pytest.raises(ValueNotPlain):
                connection.execute(text("SELECT :value"), {"value": value})


def test_a_refused_row_leaves_nothing_of_its_transaction(either_history: History) -> None:
    run = submitted(either_history, settings())
    before = either_history.events(run.id)
    event = EventRecord(run_id=run.id, at=datetime.now(UTC), kind="one", message="two")
    odd = EventRecord(run_id=run.id, at=event.at, kind="one", message=np.int64(3))  # type: ignore[arg-type]
    with pytest.raises(ValueNotPlain), either_history.database.write() as connection:
        _store_all(connection, [event], [event, odd])
    assert either_history.events(run.id) == before


def _store_all(connection: Connection, *groups: list[EventRecord]) -> None:
    for group in groups:
        store(connection, group)


def test_the_queue_takes_plain_values_only(either_history: History) -> None:
    for values, error in REFUSED:
        with pytest.raises(error, match=r"Expected .* Received: "):
            either_history.queue.submit([new_run(), new_run(**values)])
    with pytest.raises(InvalidPriority):
        either_history.queue.set_priority("any", np.int64(2))  # type: ignore[arg-type]
    assert either_history.runs() == []
