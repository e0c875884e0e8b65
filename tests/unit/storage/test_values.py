"""Ids, times, statuses and the tables' SQL, without a database."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tapeworks.storage.records import RunStatus, loss_text
from tapeworks.storage.references import new_run_ids
from tapeworks.storage.rows import TABLES
from tapeworks.storage.tables import UtcDateTime, metadata

NOON = datetime(2026, 3, 1, 12, 0, 0, 7_900, tzinfo=UTC)


def test_an_id_tells_its_time() -> None:
    assert re.fullmatch(r"20260301-120000007-[0-9a-f]{6}", new_run_ids(NOON, 1)[0])


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (None, "-"),
        (0.0, "0.0000"),
        (60.06019, "60.0602"),
        (1234567.5, "1234567.5000"),
        (9.2820314538377216e16, "9.2820e+16"),
        (-3e9, "-3.0000e+09"),
        (0.000123, "1.23e-04"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_a_loss_beyond_four_decimals_is_a_power_of_ten(loss: float | None, text: str) -> None:
    assert loss_text(loss) == text


def test_ids_sort_by_time() -> None:
    steps = [0, 0.001, 0.5, 1, 60, 3600, 86_400, 40 * 86_400, 400 * 86_400]
    ids = [new_run_ids(NOON + timedelta(seconds=step), 1)[0] for step in steps]
    assert ids == sorted(ids)


def test_ids_of_one_millisecond_differ() -> None:
    ids = new_run_ids(NOON, 1000)
    assert ids == sorted(set(ids))
    assert new_run_ids(NOON, 1) != new_run_ids(NOON, 1)


def test_times_are_stored_in_utc_and_come_back_aware() -> None:
    column, dialect = UtcDateTime(), sqlite.dialect()
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    assert column.process_bind_param(in_tokyo, dialect) == NOON
    assert column.process_result_value(NOON.replace(tzinfo=None), dialect) == NOON
    read = column.process_result_value(in_tokyo, dialect)
    assert read is not None
    assert read.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    dialect = sqlite.dialect()
    with pytest.raises(ValueError, match="Expected a time with a time zone"):
        UtcDateTime().process_bind_param(NOON.replace(tzinfo=None), dialect)


def test_three_states_are_the_end() -> None:
    finished = {status for status in RunStatus if status.is_finished}
    assert finished == {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}


def test_every_field_of_a_record_is_a_column() -> None:
    for record, table in TABLES.items():
        assert {field.name for field in fields(record)} <= set(table.c.keys())


def test_the_tables_are_valid_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    statements = [
        str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables
    ]
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in metadata.sorted_tables
        for index in table.indexes
    ]
    assert "id BIGSERIAL NOT NULL" in "".join(statements)
    assert "TIMESTAMP WITH TIME ZONE" in "".join(statements)
    assert len(indexes) == 8
