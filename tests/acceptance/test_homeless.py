"""No home, no working directory, no temporary files: told where they are needed, and only there."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calls import Call
from tests.support.desk import DONE, nothing_changes
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow

#: A user whom nobody knows.
NOBODY = 54_321


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user without a home, as containers have them."""
    if os.geteuid() != 0:
        pytest.skip("only root may be another user")
    with pytest.raises(KeyError):
        pwd.getpwuid(NOBODY)
    monkeypatch.delenv("HOME")
    os.setresuid(NOBODY, -1, -1)
    yield
    os.setresuid(0, -1, -1)


def test_no_home_is_needed_where_a_database_is_named(
    desk: Path, homeless: None, call: Call
) -> None:
    assert DONE in call("runs").out


def test_a_home_that_is_needed_and_missing_is_told(
    desk: Path, homeless: None, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAPEWORKS_DATABASE_URL")
    called = call("runs")
    assert called.code == 4
    assert "TAPEWORKS_DATABASE_URL" in called.last_words
    doctor = call("doctor")
    assert doctor.code == 4
    [line] = [line for line in doctor.out.splitlines() if line.startswith("problem")]
    assert "no home directory" in line
    assert doctor.out.splitlines()[-1].startswith("ok       threads")


def test_mnist_without_a_home_is_told_and_makes_no_directory(
    desk: Path, homeless: None, call: Call
) -> None:
    with nothing_changes(desk):
        called = call("train --workers 0 --dataset mnist")
    assert called.code == 2
    assert "--data-dir" in called.last_words


def test_tensorflow_neither_reads_nor_writes_a_keras_configuration(tmp_path: Path) -> None:
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"floatx": "bfloat16"}')
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_HOME"}
    for home in (tmp_path, tmp_path / "new"):
        subprocess.run(
            [sys.executable, "-P", "-c", "import tapeworks.model.engine.runtime"],
            env=environment | {"PYTHONPATH": str(ROOT), "HOME": str(home)},
            check=True,
        )
    assert not (tmp_path / "new").exists()


def test_a_home_that_cannot_be_written_changes_no_picture_and_needs_no_words(desk: Path) -> None:
    (desk / "home").touch()
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "tapeworks", "plot", DONE, "--output", "curve.png"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(desk / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_working_directory_that_is_gone_is_told_where_it_is_needed(
    desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / "gone").mkdir()
    monkeypatch.chdir(desk / "gone")
    (desk / "gone").rmdir()
    assert DONE in call("runs").out
    assert call(f"export {DONE} --output {desk / 'here.csv'}").code == 0
    for line in (f"plot {DONE}", f"export {DONE} --output here.csv", "train --workers 0"):
        called = call(line)
        assert (called.code, len(called.err.splitlines())) == (2, 1)
        assert "cannot be written" in called.err


def test_a_relative_database_in_a_working_directory_that_is_gone_is_told(
    desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / "gone").mkdir()
    monkeypatch.chdir(desk / "gone")
    (desk / "gone").rmdir()
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", "runs.db")
    called = call("runs")
    assert (called.code, len(called.err.splitlines())) == (4, 1)
    assert "working directory, which is gone" in called.err


def test_temporary_files_that_cannot_be_written_are_told_before_a_run_is_stored(
    desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(desk / "missing"))
    with nothing_changes(desk):
        called = call("train --workers 1")
    assert called.code == 2
    assert "TMPDIR" in called.last_words
