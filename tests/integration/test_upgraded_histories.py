"""Histories of earlier revisions, which an upgrade keeps whole."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
from alembic import command
from safetensors.numpy import save
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from tapeworks.model.config import RunConfig
from tapeworks.storage.checkpoints import digest_of
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.migrations.upgrade import alembic_config
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.records import ImageValues, RunStatus
from tapeworks.storage.rows import note

#: The iterations that the second revision copies at a time.
SLICE = 200

LOSSES, NORMS = [0.1, 2.0, 1e-9], [1.5, 0.0, 3e8]

#: Binary values of the statements below.
PARTS = {
    "before": b"before",
    "after": b"after",
    "values": save(
        {
            "losses": np.array(LOSSES, np.float32),
            "gradient_norms": np.array(NORMS, np.float32),
            "predictions": np.array([1, 0, 1], np.int32),
        }
    ),
}

#: A history as the first revision stored it.
FIRST_REVISION = (
    (
        "INSERT INTO runs VALUES ('r1', 'trained', 'paused', NULL, '{\"images\": 3}', 5, 2, "
        "'2026-03-01 12:00:00.123456', NULL, NULL, NULL, 2, NULL, 'f', 'i', 'p', 3.5, 2.5)"
    ),
    (
        f"INSERT INTO checkpoints VALUES ('r1', 0, '{digest_of(b'before')}', :before), "
        f"('r1', 2, '{digest_of(b'after')}', :after)"
    ),
    "INSERT INTO evaluations VALUES ('r1', 1, 4, 1.5, 0.5), ('r1', 2, 4, 0.5, 0.75)",
    (
        "INSERT INTO events VALUES (1, 'r1', '2026-03-01 12:00:00', 'submitted', 'submitted'), "
        "(7, 'r1', '2026-03-01 12:00:01', 'going_on', 'it went on')"
    ),
    (
        "INSERT INTO iterations VALUES ('r1', 0, 3, 3.5, 0.3333333333333333, 1.0, 'no digest', "
        "1, 1, 1, 1, '2026-03-01 12:00:01', 0.5), ('r1', 1, 3, 2.5, 0.6666666666666666, 0.5, "
        f"'{'ab' * 32}', 2, 2, 3, 2, '2026-03-01 12:00:02.500000', 0.5)"
    ),
    "INSERT INTO image_values VALUES ('r1', 1, :values)",
    (
        "INSERT INTO ledger VALUES "
        "('r1', 0, 0, 0, 2, 0, 1, 1, 'left', 0.125, '2026-03-01 12:00:01.25'), "
        "('r1', 0, 1, 2, 1, 0, 1, 1, 'left', 0.125, '2026-03-01 12:00:01.25'), "
        "('r1', 1, 0, 0, 1, 0, 1, 1, 'left', 0.25, '2026-03-01 12:00:03'), "
        "('r1', 1, 1, 1, 1, 0, 1, 1, 'left', 0.25, '2026-03-01 12:00:03'), "
        "('r1', 1, 2, 2, 1, 1, 2, 2, 'right', 0.5, '2026-03-01 12:00:03.000001')"
    ),
)


def test_what_the_first_revision_held_is_there_after_the_upgrade(either_database: Database) -> None:
    """A run of two iterations of three images, with everything that could be stored of it."""
    with either_database._transaction("migrate") as connection:
        command.upgrade(alembic_config(connection), "0001")
        for statement in FIRST_REVISION:
            connection.execute(text(statement), PARTS)

    either_database.upgrade()

    history = History(either_database)
    run = history.find_run("trained")
    assert (run.id, run.status, run.epoch, run.priority) == ("r1", RunStatus.PAUSED, 2, 0)
    assert (run.configuration["images"], run.configuration["optimizer"]) == (3, "sgd")
    assert set(run.configuration) <= set(RunConfig.model_fields)
    assert (run.first_loss, run.final_loss) == (3.5, 2.5)
    assert (run.test_loss, run.test_accuracy) == (0.5, 0.75)
    assert run.created_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert [record.loss for record in history.iterations("r1")] == [3.5, 2.5]
    assert [record.accuracy for record in history.iterations("r1")] == [1 / 3, 2 / 3]
    second = history.iterations("r1")[1]
    assert second.parameters_digest == "ab" * 32
    assert second.started_at == datetime(2026, 3, 1, 12, 0, 2, 500000, tzinfo=UTC)
    assert history.image_values("r1", 1) == ImageValues(
        losses=np.array(LOSSES, "<f4").tobytes(),
        gradient_norms=np.array(NORMS, "<f4").tobytes(),
        predictions=bytes([1, 0, 1]),
    )
    lines = history.ledger("r1", 1)
    assert [(line.first_image, line.image_count, line.worker) for line in lines] == [
        (0, 2, "left"),
        (2, 1, "right"),
    ]
    assert [(line.attempt, line.epoch, line.seconds) for line in lines] == [
        (1, 1, 0.25),
        (2, 2, 0.5),
    ]
    assert lines[1].received_at == datetime(2026, 3, 1, 12, 0, 3, 1, tzinfo=UTC)
    assert [(one.name, one.images, one.answers) for one in history.workers("r1")] == [
        ("left", 5, 2),
        ("right", 1, 1),
    ]
    assert history.checkpoint("r1").parameters == b"after"
    assert history.checkpoint("r1", 0).digest == digest_of(b"before")
    assert [event.message for event in history.events("r1")] == ["submitted", "it went on"]
    with either_database.write() as connection:
        note(connection, "r1", either_database.now(), "later", "events are numbered on")
    assert len(history.events("r1")) == 3


def test_an_optimizers_state_of_the_second_revision_gets_its_digest(
    either_database: Database,
) -> None:
    either_database.upgrade()
    history = History(either_database)
    run = history.create_run(
        name=None,
        configuration={},
        iterations=1,
        parameters=b"parameters",
        parameters_digest=str(digest_of(b"parameters")),
        optimizer_state=b"state",
    )
    with either_database._transaction("migrate") as connection:
        for view in COLUMNS:
            connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
        connection.execute(text("ALTER TABLE stored_checkpoints DROP COLUMN state_digest"))
        connection.execute(text("ALTER TABLE stored_events DROP COLUMN worker"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))

    either_database.upgrade()

    checkpoint = history.checkpoint(run.id)
    assert (checkpoint.optimizer_state, checkpoint.state_digest) == (b"state", digest_of(b"state"))


def test_a_long_run_is_copied_in_parts(either_database: Database) -> None:
    with either_database._transaction("migrate") as connection:
        command.upgrade(alembic_config(connection), "0001")
        connection.execute(text(FIRST_REVISION[0]))
        for number in range(SLICE * 2 + 1):
            connection.execute(
                text(
                    "INSERT INTO iterations VALUES ('r1', :number, 0, 0.5, 0.5, 1.0, 'no digest', "
                    "1, 1, 1, 1, '2026-03-01 12:00:01', 0.5)"
                ),
                {"number": number},
            )
    either_database.upgrade()
    copied = [record.iteration for record in History(either_database).iterations("r1")]
    assert copied == list(range(SLICE * 2 + 1))


def test_nobody_commits_to_the_old_tables_while_they_are_copied(postgres_url: str) -> None:
    database, other = Database(postgres_url), create_engine(Database(postgres_url)._url)
    with database._transaction("migrate") as connection:
        command.upgrade(alembic_config(connection), "0001")
    refused = list[str]()

    def try_to_write(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT INTO stored_checkpoints"):
            with other.connect() as second, suppress(OperationalError):
                second.execute(text("SET lock_timeout = 50"))
                second.execute(text("UPDATE runs SET name = 'late'"))
                return
            refused.append(statement)

    event.listen(database._engine, "before_cursor_execute", try_to_write)
    database.upgrade()
    assert refused
    database.close()
    other.dispose()
