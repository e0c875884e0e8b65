"""Losing an output stops nothing; the exit code tells when data is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tapeworks.cluster.session import interruptible
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.calls import Call
from tests.support.desk import DONE, WAITING
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow

TRAIN = "train --workers 0 --images 4 --iterations 3"


def shell(line: str, **arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which $T is the command line; what it writes to stderr is kept."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env=os.environ | {"PYTHONPATH": str(ROOT), "T": f"{sys.executable} -P -m tapeworks"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **arguments,
    )


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("$T runs > /dev/full", 1, os.strerror(errno.ENOSPC)),
        ("$T runs >&-", 1, "it is closed"),
        ("$T --help > /dev/full", 1, os.strerror(errno.ENOSPC)),
        ("$T show nobody > /dev/full", 3, "nobody"),
        ("$T query - <&-", 2, "SELECT"),
    ],
)
def test_data_that_is_lost_is_told_in_one_sentence(
    line: str, code: int, words: str, desk: Path
) -> None:
    ended = shell(line)
    assert ended.returncode == code
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith("tapeworks: ")
    assert words in sentence


@pytest.mark.parametrize(
    ("line", "code"), [("show nobody 2>&-", 3), ("show nobody 2> /dev/full", 3), ("runs 2>&-", 0)]
)
def test_words_that_are_lost_change_no_exit_code(line: str, code: int, desk: Path) -> None:
    ended = shell(f"$T {line}")
    assert (ended.returncode, ended.stderr) == (code, "")
    assert "tapeworks:" not in ended.stdout


def test_a_reader_that_has_seen_enough_makes_nothing_fail(desk: Path) -> None:
    ended = shell("{ $T runs; echo $? > code; } | head -n 0")
    assert ((desk / "code").read_text(), ended.stderr) == ("0\n", "")


def test_watching_ends_when_nobody_reads_what_it_says(desk: Path) -> None:
    ended = shell(f"{{ $T watch {WAITING} 2>&1; echo $? > code; }} | head -n 1")
    assert "is queued" in ended.stdout
    assert (desk / "code").read_text() == "0\n"


def test_a_training_whose_reader_ends_goes_on_to_its_end(places: Path, found: History) -> None:
    ended = shell(f"{{ $T {TRAIN} --json 2>&1 > values.json; echo $? > code; }} | head -n 1")
    assert ended.stdout == "Loading TensorFlow\n"
    assert (places / "code").read_text() == "0\n"
    assert json.loads((places / "values.json").read_text())["status"] == "completed"
    [run] = found.runs()
    assert (run.status, run.completed_iterations) == (RunStatus.COMPLETED, 3)


@pytest.mark.parametrize(
    "plot", ["/dev/full", "/dev/fd/1/none.png"], ids=["full", "gone after its check"]
)
def test_a_loss_curve_that_cannot_be_drawn_leaves_a_completed_run(
    plot: str, places: Path, call: Call, found: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plot != "/dev/full":
        monkeypatch.setattr("tapeworks.cli.commands.train.check_writable", lambda _: None)
    called = call(f"{TRAIN} --plot {plot}")
    assert called.code == 1
    assert f"The loss curve cannot be shown: {plot} cannot be written" in called.last_words
    assert "completed after 3 iterations" in called.out
    assert "loss curve" not in called.out
    [run] = found.runs()
    assert (run.status, run.reason) == (RunStatus.COMPLETED, None)


def test_a_drawing_that_fails_in_any_way_leaves_a_completed_run(
    places: Path, call: Call, found: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise ValueError("no such\nback end")

    monkeypatch.setattr("tapeworks.cli.commands.train.picture", fail)
    called = call(f"{TRAIN} --json")
    assert called.code == 1
    assert called.last_words.endswith("cannot be shown: ValueError: no such back end")
    assert called.values["status"] == "completed"
    assert [run.status for run in found.runs()] == [RunStatus.COMPLETED]


def test_a_terminal_that_is_closed_drains_however_often_it_says_so() -> None:
    control = Control()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would have it ignored
    try:
        with interruptible(control, "Stopping"):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            assert (control.draining, control.abandoning) == (True, False)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_hang_up_that_the_caller_ignores_stays_ignored() -> None:
    control = Control()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(control, "Stopping"):
            signal.raise_signal(signal.SIGHUP)
        assert not control.draining
    finally:
        signal.signal(signal.SIGHUP, before)


def test_picture_and_data_do_not_share_standard_output(desk: Path, call: Call) -> None:
    for line in (f"{TRAIN} --json --plot", f"compare {DONE} waiting --plot"):
        called = call(f"{line} /dev/stdout")
        assert (called.code, called.out) == (2, "")
        assert "standard output" in called.last_words
