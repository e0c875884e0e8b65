"""Passwords in files: every process finds its server with them, and tells of files of no use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tapeworks.model.settings import Settings
from tapeworks.places import DATABASE
from tapeworks.wire.addresses import REDIS
from tests.support.calls import Call
from tests.support.desk import told_in_one_sentence
from tests.support.fleet import Fleet
from tests.support.processes import ROOT, Start
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def named(shared_fleet: Fleet, places: Path) -> dict[str, str]:
    """The environment that names a Redis, and its password in a file."""
    scheme, _, rest = shared_fleet.redis_url.partition("://:")
    password, _, place = rest.partition("@")
    (places / "password").write_text(f"{password}\n")
    return {
        REDIS.url_variable: f"{scheme}://{place}",
        REDIS.file_variable: str(places / "password"),
    }


def test_workers_and_commands_find_redis_with_a_password_of_a_file(
    named: dict[str, str], start: Start, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start("worker", **named)
    until(lambda: worker.says("is ready"), "the worker is ready")
    for name, value in named.items():
        monkeypatch.setenv(name, value)

    assert "idle" in call("workers").out
    lines = [" ".join(one.cmdline()) for one in worker.descendants()]
    password = Path(named[REDIS.file_variable]).read_text().strip()
    assert lines
    assert password not in "".join(lines) + worker.err


NEED_IT = {"worker": REDIS, "workers": REDIS, "scheduler": REDIS, "train --workers 1": REDIS}
NEED_IT |= {"runs": DATABASE, "submit": DATABASE, "db check": DATABASE}


@pytest.mark.parametrize("line", NEED_IT)
def test_a_password_file_that_is_not_there_is_told(
    line: str, places: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NEED_IT[line].file_variable, str(places / "missing"))
    told_in_one_sentence(call(line), 2, f"{places}/missing, which cannot be read: No such file")


@pytest.mark.parametrize(
    "program",
    [["-m", "tapeworks.workers"], ["-m", "celery", "-A", "tapeworks.workers.app", "worker"]],
)
@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (REDIS.file_variable, "/nowhere/password", "which cannot be read: No such file"),
        (Settings.log_level.variable, "loud", "Received: loud"),
        (REDIS.url_variable, "redis://h/?x=1", "Expected a Redis URL"),
    ],
)
def test_a_process_without_supervisor_tells_of_it_as_well(
    variable: str, value: str, told: str, program: list[str]
) -> None:
    ended = subprocess.run(
        [sys.executable, *program],
        env={variable: value, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == (4 if variable == REDIS.url_variable else 2)
    [line] = ended.stderr.splitlines()
    assert value in line
    assert told in line
