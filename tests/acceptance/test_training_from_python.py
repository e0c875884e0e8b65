"""`tapeworks.train` does what the command does, from a program of any kind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import tapeworks
from tapeworks.cluster.apart import work_apart
from tapeworks.errors import InvalidValue
from tapeworks.storage.errors import DatabaseMissing
from tapeworks.wire.errors import WorkerExited
from tests.support.waiting import until

#: No `if __name__`, and TensorFlow with its own settings: neither is anybody's business.
PROGRAM = """
import sys
sys.modules["tensorflow"] = None
import tapeworks
try:
    tapeworks.connect(sys.argv[1]).train(
        {"iterations": 10_000_000, "images": 8, "image_side": 6, "kernel_sizes": [3], "filters": 1,
         "checkpoint_every": 1000}, workers=1, name="long", tags={"kind": "test"})
except KeyboardInterrupt as interrupt:
    print(interrupt)
"""


def test_what_the_command_would_tell_is_raised(places: Path) -> None:
    asked = {"run": "one", "database_url": f"sqlite:///{places / 'none.db'}"}
    with work_apart("train", asked) as process, pytest.raises(DatabaseMissing) as told:
        process.wait(print)
    assert str(told.value).startswith(f"There is no database at sqlite:///{places}")
    with pytest.raises(InvalidValue, match="workers=-1"):
        tapeworks.train(workers=-1)


def test_a_process_that_is_killed_is_told() -> None:
    with work_apart("train", {}) as process:
        process.interrupt()
        with pytest.raises(WorkerExited, match="ended unasked, with exit code -15"):
            process.wait(print)


def test_a_program_that_is_killed_leaves_no_traceback(places: Path) -> None:
    command = [sys.executable, "-P", "-m", "tapeworks.cluster.apart_process"]
    asked = {"task": "train", "database_url": str(places / "none.db"), "run": "one"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.long
def test_ctrl_c_pauses_the_run_and_leaves_no_process(places: Path) -> None:
    with tapeworks.connect(places / "own.db") as client:
        client.database.upgrade()
        command = [sys.executable, "-c", PROGRAM, client.database.address]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        until(lambda: client.runs(where="completed_iterations > 2"), "it is trained")
        started = psutil.Process(program.pid).children(recursive=True)
        told_to_all = {value for process in started for value in process.environ().values()}
        assert client.database.address not in told_to_all
        program.send_signal(signal.SIGINT)
        told, _ = program.communicate()
        run = client.run("long")
        assert run.status is tapeworks.RunStatus.PAUSED
        assert told.startswith(f"Run {run.id} is paused after {run.record.completed_iterations} it")
        assert len(started) > 2
        assert not [process for process in started if process.is_running()]
        further = run.record.completed_iterations + 2
        run = client.train(resume="long", workers=0, stop_after=further)
        assert (run.status, run.record.completed_iterations) == (run.status.PAUSED, further)
