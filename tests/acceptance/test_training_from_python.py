"""`tapeworks.train` does what the command does, from a program of any kind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import tapeworks
from tapeworks.cluster.apart import work_apart
from tapeworks.errors import InvalidValue
from tapeworks.storage.errors import RunNotFound
from tapeworks.wire.errors import WorkerExited
from tests.support.calls import Call
from tests.support.waiting import until

#: Of a run that is trained within a second.
SETTINGS: dict[str, Any] = {
    "images": 20,
    "iterations": 5,
    "image_side": 6,
    "kernel_sizes": (3,),
    "filters": 1,
}

LINE = "--images 20 --iterations 5 --image-side 6 --kernel-sizes 3 --filters 1 --workers 0"

#: No `if __name__`, and TensorFlow with its own settings: neither is anybody's business.
PROGRAM = """
import sys
sys.modules["tensorflow"] = None
import tapeworks
try:
    tapeworks.train(
        {"iterations": 10_000_000, "images": 8, "image_side": 6, "kernel_sizes": [3], "filters": 1,
         "checkpoint_every": 1000}, workers=1, name="long", tags={"kind": "test"}, stop_after=None)
except KeyboardInterrupt as interrupt:
    print(interrupt)
"""


def test_a_program_trains_to_the_bits_of_the_command(
    places: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(f"train {LINE}").code == 0
    capsys.readouterr()
    run = tapeworks.train(SETTINGS, workers=0, name="mine", note="by program", stop_after=3)
    assert not any(capsys.readouterr())  # there is no terminal
    assert (run.status, run.record.completed_iterations) == (tapeworks.RunStatus.PAUSED, 3)
    assert (run.name, run.record.note) == ("mine", "by program")
    assert call("train --resume mine --workers 0").code == 0
    with tapeworks.connect() as client:
        digests = {one.record.parameters_digest for one in client.runs(status="completed")}
    assert (len(digests), run.refresh().status.is_finished) == (1, True)


def test_what_the_command_would_tell_is_raised(places: Path) -> None:
    tapeworks.connect().close()  # which makes the database
    with work_apart("train", {"run": "one"}) as process, pytest.raises(RunNotFound, match="'one'"):
        process.wait(print)
    with pytest.raises(InvalidValue, match="workers=-1"):
        tapeworks.train(SETTINGS, workers=-1)


def test_a_process_that_is_killed_is_told() -> None:
    with work_apart("train", {}) as process:
        process.interrupt()
        with pytest.raises(WorkerExited, match="ended unasked, with exit code -15"):
            process.wait(print)


@pytest.mark.slow
def test_ctrl_c_pauses_the_run_and_leaves_no_process(places: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    with tapeworks.connect() as client:
        until(lambda: client.runs(where="completed_iterations > 2"), "it is trained")
        started = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGINT)
        told, _ = program.communicate()
        run = client.run("long")
        assert run.status is tapeworks.RunStatus.PAUSED
        assert told.startswith(f"Run {run.id} is paused after {run.record.completed_iterations} it")
        assert len(started) > 2
        assert not [process for process in started if process.is_running()]
