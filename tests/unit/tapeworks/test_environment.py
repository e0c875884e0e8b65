"""Variables as env files write them: read as they are meant, or refused, never taken as they are.

What is tested first is the rule, then that everybody who reads a variable reads it by the rule.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets import load
from tapeworks.model.environment import path_variable, variable
from tapeworks.model.errors import DatasetError, VariableUnreadable
from tapeworks.model.settings import LogFormat, Settings, find_unread
from tapeworks.places import DATABASE, Places
from tapeworks.wire.addresses import REDIS
from tapeworks.wire.signing import signer
from tapeworks.workers.logs import log_settings
from tests.support.calls import Call
from tests.support.processes import ROOT

#: How a value arrives: from Windows, from Docker's env file, from an editor, from a web page.
AS_WRITTEN = [
    "{}\r",
    "{}\r\n",
    " {} ",
    "\t{}",
    '"{}"',
    "'{}'",
    '"{}"\r',
    '" {} "',
    "\ufeff{}",
    "“{}”",
    "\xa0{}",
    "{}\u200b",
    "\u202a{}\u202c",
    "`{}`",
    "\u2018{}\u2019",
]


@pytest.mark.parametrize("form", AS_WRITTEN)
def test_what_surrounds_a_value_is_no_part_of_it(form: str) -> None:
    assert variable({"NAME": form.format("runs.db")}, "NAME") == "runs.db"


@pytest.mark.parametrize("value", ["", " ", "\r\n", "\t", '""', "' '", "\ufeff"])
def test_a_blank_variable_counts_as_not_set(value: str) -> None:
    assert variable({"NAME": value}, "NAME") is None
    assert path_variable({"NAME": value}, "NAME") is None


@pytest.mark.parametrize("value", ["my file.db", "it's.db", "a#b", "x=1", "a\\b"])
def test_what_is_within_a_value_is_kept(value: str) -> None:
    assert variable({"NAME": value}, "NAME") == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"SECRET', "one quotation mark"),
        ("SECRET'", "one quotation mark"),
        ("\"SECRET'", "one quotation mark"),
        ("SEC\rRET", "control character"),
        ("SEC\nRET", "control character"),
        ("SEC\0RET", "control character"),
        ("SECRET # mine", "a comment after it"),
        ("NAME=SECRET", "begins with NAME="),
        ("export NAME = SECRET", "begins with NAME="),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_and_not_shown(value: str, words: str) -> None:
    with pytest.raises(VariableUnreadable, match=words) as refusal:
        variable({"NAME": value}, "NAME")
    assert str(refusal.value).startswith("Expected NAME as one value on one line")
    assert "SEC" not in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "meant"), [("~/x", "/home/ada/x"), ("~", "/home/ada"), ("./~x", "~x"), ("a~", "a~")]
)
def test_a_path_starts_at_home(value: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert path_variable({"NAME": value}, "NAME") == Path(meant)


@pytest.mark.parametrize("value", ["$HOME/x", "/x/${HOME}", "~nosuchuser/x"])
def test_a_path_that_is_not_expanded_is_refused(value: str) -> None:
    with pytest.raises(VariableUnreadable, match="Expected a path in NAME"):
        path_variable({"NAME": value}, "NAME")


# Those who read variables


@pytest.mark.parametrize("form", AS_WRITTEN)
def test_addresses_are_read_as_they_are_meant(form: str) -> None:
    database, redis = "postgresql://me@host/runs", "redis://host:6379/1"
    read = Places(
        Settings(
            {DATABASE.url_variable: form.format(database), REDIS.url_variable: form.format(redis)}
        )
    )
    assert (read.database_url, read.redis_url) == (database, redis)


def test_files_of_secrets_are_found_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("k" * 32)
    monkeypatch.setenv("HOME", str(tmp_path))
    name = '"~/secret"\r'
    assert signer(Settings({"TAPEWORKS_SIGNING_KEY_FILE": name})).key == b"k" * 32
    assert "k" * 32 in Places(Settings({REDIS.file_variable: name})).redis_url


def test_how_to_log_is_read_as_it_is_meant() -> None:
    read = log_settings(
        Settings({"TAPEWORKS_LOG_FORMAT": '"JSON"\r', "TAPEWORKS_LOG_LEVEL": " info "})
    )
    assert (read.format, read.level) == (LogFormat.JSON, "info")


def test_the_directory_of_data_is_found_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TAPEWORKS_DATA_DIR", "'~/here'\r")
    with pytest.raises(DatasetError, match=f"There is no directory {tmp_path}/here "):
        load(RunConfig(dataset="mnist"))


def test_options_of_services_are_read_as_they_are_meant(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "METRICS_PORT": '"0"\r',
        "METRICS_HOST": "127.0.0.1\r",
        "LOG_LEVEL": " info",
        "LOG_FORMAT": '"text"\r\n',
        "REDIS_URL": " \r",
    }.items():
        monkeypatch.setenv(f"TAPEWORKS_{name}", value)
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", "http://\r")
    called = call("scheduler")
    assert (called.code, called.err.count("Expected a Redis URL")) == (4, 1)


def test_a_misspelt_variable_is_told_once_by_what_opens_a_database_and_by_nothing_else(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("TAPEWORKS_DATABASE_URL", raising=False)
    monkeypatch.setenv("TAPEWORKS_DATABSE_URL", "meant.db")
    monkeypatch.setenv("TAPEWORKS_MOOD", "good")
    assert find_unread(os.environ) == {
        "TAPEWORKS_DATABSE_URL": "TAPEWORKS_DATABASE_URL",
        "TAPEWORKS_MOOD": None,
    }
    told = (
        "Warning: nothing reads TAPEWORKS_DATABSE_URL (did you mean TAPEWORKS_DATABASE_URL?), "
        "TAPEWORKS_MOOD, set in the environment"
    )
    called = call("submit --images 8 --iterations 1")
    assert called.err.splitlines().count(told) == 1
    assert f"Queued in the usual database (sqlite:///{tmp_path}/" in called.err
    assert told in call("runs").err
    assert "Warning" not in call("submit --help").err + call("doctor").err


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("METRICS_PORT", "scheduler"),
        ("LOG_LEVEL", "worker"),
        ("REDIS_URL", "scheduler"),
        ("DATABASE_URL", "runs"),
    ],
)
def test_a_command_refuses_what_it_cannot_read(
    name: str, line: str, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TAPEWORKS_{name}", '"8\n0')
    called = call(line)
    assert (called.code, f"Expected TAPEWORKS_{name} as one value" in called.err) == (2, True)
    assert not list(places.glob("*.db*"))


@pytest.mark.parametrize("form", AS_WRITTEN)
def test_no_database_gets_a_name_that_nobody_meant(
    form: str, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", form.format("history.db"))
    assert call("db upgrade").code == 0
    assert [path.name for path in places.glob("*.db*") if "-" not in path.name] == ["history.db"]


def test_the_doctor_reports_a_variable_that_cannot_be_read(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_SIGNING_KEY_FILE", "$HOME/key")
    monkeypatch.setenv("TAPEWORKS_METRICS_PORT", '"9100')
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", '"SECRET')
    called = call("doctor")
    assert "problem  settings   Expected a path in TAPEWORKS_SIGNING_KEY_FILE" in called.out
    assert "problem  settings   Expected TAPEWORKS_METRICS_PORT" in called.out
    assert "problem  database   Expected TAPEWORKS_DATABASE_URL" in called.out
    assert "SECRET" not in called.out + called.err


def test_the_doctor_takes_a_blank_variable_for_none(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATA_DIR", '""')
    called = call("doctor")
    assert called.out.count("data set") == 1


def test_a_worker_process_refuses_what_it_cannot_read() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tapeworks.workers"],
        env=os.environ | {"TAPEWORKS_REDIS_URL": "redis://SEC\rRET"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert process.stderr.startswith("python -m tapeworks.workers: Expected TAPEWORKS_REDIS_URL")
    assert "SEC" not in process.stderr


# Paths on the command line


@pytest.mark.parametrize(
    "line",
    [
        "db backup ~/copy.db",
        "export {run} --to json --output=~/copy.db",
    ],
)
def test_a_file_is_written_below_home(line: str, call: Call, places: Path) -> None:
    (places / "home").mkdir()
    run = call("submit").out.strip()
    called = call(line.format(run=run))
    assert (called.code, called.out.strip()) == (0, str(places / "home" / "copy.db"))
    assert not (places / "~").exists()


def test_a_home_that_is_not_there_is_refused(call: Call) -> None:
    called = call("db backup ~nosuchuser/copy.db")
    assert (called.code, "no home directory for '~nosuchuser/copy.db'" in called.err) == (2, True)


def test_a_query_from_windows_is_read(call: Call, places: Path) -> None:
    assert call("db upgrade").code == 0
    (places / "query.sql").write_bytes("\ufeffSELECT count(*) AS runs FROM runs\r\n".encode())
    assert call("query --file query.sql").out.split() == ["runs", "0"]


def test_given_parameters_are_found_below_home(
    call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(places))
    called = call("submit --init-from=~/none.safetensors")
    assert f"{places}/none.safetensors cannot be read" in called.err
