"""Ctrl-C once and twice, and kills: nothing is left behind, and the same bits in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.storage.records import IterationRecord
from tests.support.calls import Call
from tests.support.endless import TRAIN, Undisturbed, begun, drained, goes_on_to_the_same_bits
from tests.support.fleet import Fleet
from tests.support.processes import Start, all_gone, workers_of
from tests.support.training import drive, settings, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def test_ctrl_c_once_ends_after_the_iteration_and_leaves_nothing_behind(
    start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    training = start(*TRAIN, "--workers", "1")
    begun(training)
    drained(training)
    values = call("show it --json").values
    assert (values["status"], values["owner"]) == ("paused", None)
    assert "paused" in training.out
    assert Path("loss_curve.png").exists()
    goes_on_to_the_same_bits(call, undisturbed)


def test_ctrl_c_twice_ends_at_once_and_leaves_nothing_behind(
    start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    training = start(*TRAIN, "--workers", "1")
    begun(training)
    for worker in workers_of(training):  # so that the iteration in hand cannot end
        worker.suspend()
    until(lambda: training.says("sent again"), "an iteration waits for answers")
    training.interrupt()
    until(lambda: training.says("once more to stop at once"), "the first Ctrl-C is answered")
    training.interrupt()
    assert training.ended() == 130
    all_gone(training)
    assert training.err.splitlines()[-1].startswith("tapeworks: Stopped at once")
    assert "Traceback" not in training.err
    assert call("show it --json").values["status"] == "paused"
    goes_on_to_the_same_bits(call, undisturbed)


def test_a_run_that_is_cancelled_while_it_is_trained_is_not_offered_to_go_on(
    start: Start, call: Call
) -> None:
    training = start(*TRAIN, "--workers", "0")
    begun(training, processes=0)
    assert call("cancel it").code == 0
    assert training.ended() == 1
    run = call("show it --json").values
    assert run["status"] == "cancelled"
    assert "cancelled after" in training.out
    done = f"tapeworks retry {run['id']} --after {run['completed_iterations']}"
    assert training.err.splitlines()[-1] == f"Queue it again from there with: {done}"
    assert call(done.removeprefix("tapeworks ")).code == 0


def test_a_run_that_is_cancelled_before_it_is_claimed_ends_its_training(
    start: Start, call: Call
) -> None:
    training = start(*TRAIN, "--workers", "0")
    until(lambda: training.says("Compiling"), "the run is prepared")
    assert "paused by" not in (shown := call("show it").out)
    assert "paused: a train is starting it, and needs no resume" in shown
    assert call("cancel it").code == 0
    assert training.ended() == 1
    assert "cancelled after 0 iterations" in training.out
    assert "Traceback" not in training.err


def test_after_kill_9_workers_and_redis_end_by_themselves_and_the_state_is_true(
    start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    training = start(*TRAIN, "--workers", "2")
    begun(training)
    training.process.kill()
    training.process.wait()
    all_gone(training)
    [run] = call("runs --json").values
    assert run["status"] == "queued"
    assert "ended unexpectedly" in run["reason"]
    kinds = [event["kind"] for event in call("show it --events --json").values]
    assert "abandoned" in kinds
    _leads_to_resume(call, run["id"])
    goes_on_to_the_same_bits(call, undisturbed)


def _leads_to_resume(call: Call, run: str) -> None:
    """Whatever a user tries first names the command; a copy of the run takes no one's place."""
    command = f"tapeworks train --resume {run}"
    assert command in call("show it").out
    assert f"go on with: {command}" in call("resume it").last_words
    assert f"go on with: {command}" in call("doctor").out
    copied = call("retry it")
    assert f"to go on with the old one: {command}" in copied.err
    refused = call("train --resume it")
    assert refused.code == 2
    assert "Several runs named it may go on" in refused.last_words
    assert f"{run} after " in refused.last_words
    assert call(f"delete {copied.out.strip()} --yes").code == 0


def test_ctrl_c_while_workers_start_leaves_a_run_that_can_be_resumed(
    start: Start, call: Call
) -> None:
    training = start(*TRAIN, "--workers", "1")
    until(lambda: training.says("Starting 1 worker"), "the worker is starting")
    training.descendants()
    training.interrupt()
    assert training.ended() == 130
    all_gone(training)
    assert "Traceback" not in training.err
    values = call("show it --json").values
    assert (values["status"], values["completed_iterations"]) == ("paused", 0)


@pytest.mark.usefixtures("one_by_one")
def test_a_worker_that_is_killed_changes_no_bit_and_gets_a_successor(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    config = settings(iterations=30, shards=7)
    before = fleet.process_ids()
    victim = min(before)

    def kill(record: IterationRecord) -> None:
        if record.iteration == 4:
            os.kill(victim, signal.SIGKILL)

    run = submitted(history, config)
    driven = drive(history, CeleryDispatcher(fleet.redis_url), run, on_iteration=kill)
    assert driven.digests == undisturbed(config)
    until(lambda: len(fleet.process_ids()) == len(before), "another worker is started")
    assert victim not in fleet.process_ids()
    until(lambda: fleet.ready() == fleet.process_ids(), "it is ready")


@pytest.mark.usefixtures("one_by_one")
def test_a_frozen_worker_is_not_waited_for(
    fleet: Fleet, history: History, undisturbed: Undisturbed
) -> None:
    victim = psutil.Process(min(fleet.process_ids()))

    def freeze(record: IterationRecord) -> None:
        if record.iteration == 2:
            victim.suspend()

    try:
        run = submitted(history, settings(shards=7))
        driven = drive(history, CeleryDispatcher(fleet.redis_url), run, on_iteration=freeze)
    finally:
        victim.resume()
    assert driven.digests == undisturbed(settings())
    until(lambda: fleet.ready() == fleet.process_ids(), "the worker is back")


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_services_end_in_order_at_ctrl_c(
    command: str, start: Start, shared_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(command, TAPEWORKS_REDIS_URL=shared_fleet.redis_url)
    begins = {"worker": "Starting 1 worker", "scheduler": "Scheduler takes runs"}[command]
    until(lambda: service.says(begins), "the service has begun")
    service.descendants()
    service.interrupt()
    assert service.ended() == 130
    all_gone(service)
    assert "stopped" in service.err.splitlines()[-1]
    assert "Traceback" not in service.err


def test_ctrl_c_during_the_first_imports_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("print('importing', flush=True)\ninput()\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "tapeworks", "runs"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "tapeworks: interrupted\n"
    assert process.returncode == 130


def test_ctrl_c_while_tensorflow_is_loaded_ends_at_once_without_an_iteration_or_a_picture(
    start: Start, call: Call
) -> None:
    training = start(*TRAIN, "--workers", "0")
    until(lambda: training.says("Loading TensorFlow"), "it loads")
    training.interrupt()
    assert training.ended() == 130
    assert training.err.splitlines()[-1].startswith("tapeworks: Stopped at once; 0 iterations")
    assert "after this iteration" not in training.err
    assert not Path("loss_curve.png").exists()
    values = call("show it --json").values
    assert (values["status"], values["completed_iterations"]) == ("paused", 0)
