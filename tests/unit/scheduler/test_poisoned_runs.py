"""A run that cannot go on is paused with the reason, and those behind it are driven."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text

from tapeworks.client import Client
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.source import Split
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.scheduler.driving.driver import STOPPED, Driver
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.scheduler.driving.service import serve
from tapeworks.scheduler.events import ignore
from tapeworks.scheduler.submission import retry
from tapeworks.storage.errors import CheckpointDamaged
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.support.calls import Call
from tests.support.desk import SMALL
from tests.support.listeners import drain_after
from tests.support.training import drive, settings, submitted

Poison = Callable[[History, RunRecord], None]


def execute(history: History, statement: str, **values: object) -> None:
    with history.database.write() as connection:
        assert connection.execute(text(statement), values).rowcount == 1


def flip_a_bit(column: str) -> Poison:
    def flip(history: History, run: RunRecord) -> None:
        newest = run.completed_iterations
        where = "WHERE run_id = :run AND completed_iterations = :newest"
        of_newest = {"run": run.id, "newest": newest}
        with history.database.read() as connection:
            query = text(f"SELECT {column} FROM stored_checkpoints {where}")
            content = bytearray(connection.execute(query, of_newest).scalar_one())
        content[-3] ^= 1  # the smallest change of the last number: still a finite float32
        statement = f"UPDATE stored_checkpoints SET {column} = :content {where}"
        execute(history, statement, content=bytes(content), **of_newest)

    return flip


def remove_the_checkpoint(history: History, run: RunRecord) -> None:
    statement = "DELETE FROM stored_checkpoints WHERE run_id = :run AND completed_iterations > 0"
    execute(history, statement, run=run.id)


def configure(**values: object) -> Poison:
    def change(history: History, run: RunRecord) -> None:
        statement = "UPDATE stored_runs SET configuration = :new WHERE id = :run"
        execute(history, statement, run=run.id, new=json.dumps(run.configuration | values))

    return change


def stopped(history: History) -> RunRecord:
    """A run of two of three iterations, with an optimizer that remembers."""
    config = settings(**SMALL | {"iterations": 3, "optimizer": "momentum", "checkpoint_every": 3})
    return drive(history, LocalDispatcher(), submitted(history, config), stop_after=2).run


def served(history: History, until: RunRecord, **values: object) -> None:
    """Let a scheduler drive all runs that are queued, until this one was left."""
    control = Control()
    listening = {"control": control, "events": drain_after(control, until.id)}
    serve(Driver(history=history, dispatcher=LocalDispatcher(), **listening | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (flip_a_bit("parameters"), "The parameters of run {} after 2 iterations are damaged"),
        (flip_a_bit("optimizer_state"), "The optimizer's values of run {} after 2 iterations are"),
        (remove_the_checkpoint, "Run {} keeps no parameters after 2 iterations."),
        (configure(horizon=3), "There is no setting named 'horizon'."),
        (configure(images="many"), "images: expected a whole number"),
        (configure(dataset="/nowhere/images.npz"), "/nowhere/images.npz"),
    ],
)
def test_it_does_not_end_the_scheduler_or_keep_the_others_waiting(
    poison: Poison, reason: str, history: History
) -> None:
    run = stopped(history)
    poison(history, run)
    history.queue.resume(run.id)
    behind = submitted(history, settings(**SMALL))

    served(history, behind)

    left = history.find_run(run.id)
    assert (left.status, left.completed_iterations) == (RunStatus.PAUSED, 2)
    assert reason.format(run.id) in str(left.reason)
    assert history.find_run(behind.id).status is RunStatus.COMPLETED


def test_a_defect_met_while_driving_one_run_is_logged_and_does_not_end_the_scheduler(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    run, behind = submitted(history, settings(**SMALL)), submitted(history, settings(**SMALL))

    def load(config: RunConfig) -> Split:
        if history.find_run(run.id).status is RunStatus.RUNNING:
            return {}["unexpected"]  # type: ignore[index]
        return datasets.load(config)

    with caplog.at_level(logging.ERROR):
        served(history, behind, load=load)

    left = history.find_run(run.id)
    assert left.status is RunStatus.PAUSED
    assert "An unexpected error" in str(left.reason)
    assert str(left.reason).endswith("KeyError: 'unexpected'")
    assert 'return {}["unexpected"]' in caplog.text
    assert history.find_run(behind.id).status is RunStatus.COMPLETED


def test_an_error_made_of_an_interrupt_is_no_defect_of_the_run(history: History) -> None:
    run, control = submitted(history, settings(**SMALL)), Control()

    def load(_: RunConfig) -> Split:
        control.interrupt()
        control.interrupt()
        raise SystemError("a result with an exception set")

    driver = Driver(
        history=history, dispatcher=LocalDispatcher(), control=control, load=load, events=ignore
    )
    with pytest.raises(SystemError):
        driver.drive(driver.claim(run.id))

    left = history.find_run(run.id)
    assert (left.status, left.reason) == (RunStatus.QUEUED, STOPPED)


def test_a_paused_run_goes_on_when_its_cause_is_gone(history: History) -> None:
    run = stopped(history)
    configure(dataset="/nowhere/images.npz")(history, run)
    history.queue.resume(run.id)
    served(history, submitted(history, settings(**SMALL)))
    assert history.find_run(run.id).status is RunStatus.PAUSED
    configure()(history, run)

    history.queue.resume(run.id)
    served(history, run)

    assert history.find_run(run.id).status is RunStatus.COMPLETED


class TestDamagedParameters:
    def test_are_not_retried_from_or_given_to_the_client(self, history: History) -> None:
        run = stopped(history)
        flip_a_bit("parameters")(history, run)
        with pytest.raises(CheckpointDamaged, match=r"retry .* --after N\. .* are after: 0$"):
            retry(history, run, after=2)
        with pytest.raises(CheckpointDamaged):
            Client(history).run(run.id).parameters()

    @pytest.mark.parametrize(
        "command", ["export --to safetensors --output p", "predict", "evaluate", "replay"]
    )
    def test_are_refused_by_commands(
        self, command: str, history: History, call: Call, places: Path
    ) -> None:
        run = stopped(history)
        flip_a_bit("parameters")(history, run)
        Image.new("L", (28, 28)).save(places / "one.png")
        picture = "one.png" if command == "predict" else ""

        done = call(f"{command} {run.id} {picture}")

        assert done.code != 0
        told = done.out + done.err
        assert "are damaged" in told or "stored parameters" in told
        assert not (places / "p").exists()
