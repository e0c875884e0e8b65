"""Input that parsers, drivers and the operating system stumble over: still one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapeworks.storage.owners import HIDDEN, current_owner, is_alive, is_gone
from tapeworks.wire.addresses import without_password
from tapeworks.wire.messages import WorkerRecord
from tests.support.calls import Call, Called
from tests.support.fleet import Fleet
from tests.support.processes import ROOT

#: Too long for any file system's name of a file.
LONG = "x" * 300

#: What Python makes of a byte that is no UTF-8, on a command line or in the environment.
UNDECODED = "\udcff"

NESTED = "[" * 5000

#: A billion words in a few lines, each a list of ten times the list before.
BILLION = ", ".join(
    f"&l{depth} [{', '.join([f'*l{depth - 1}' if depth else 'word'] * 10)}]" for depth in range(9)
)

#: A process that is not this one, and lives as long as this test does.
PARENT = os.getppid()


def told(called: Called, code: int, words: str) -> None:
    assert called.code == code, called
    [line] = called.err.splitlines()
    assert line.startswith("tapeworks: ")
    assert words in line
    assert called.out == ""


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("date.yaml", "images: 2020-13-45", "images=2020-13-45"),
        ("base.yaml", "images: 0b_", "images=0b_"),
        ("digits.yaml", f"images: {'9' * 5000}", "images=999"),
        ("digits.toml", f"images = {'9' * 5000}", "cannot be parsed"),
        ("hexadecimal.yaml", f"images: 0x{'f' * 5000}", "images=0xfff"),
        ("hexadecimal.toml", f"images = 0x{'f' * 5000}", "a number too long to show"),
        ("time.yaml", "images: !!timestamp x", "cannot be parsed"),
        ("truth.yaml", "images: !!bool x", "cannot be parsed"),
        ("number.yaml", 'images: !!int ""', "cannot be parsed"),
        ("nested.yaml", f"images: {NESTED}", "too deeply nested"),
        ("nested.toml", f"images = {NESTED}", "too deeply nested"),
        (
            "billion.yaml",
            f"seed: [{BILLION}]",
            "seed: expected one value or a list of values",
        ),
        ("itself.yaml", "classes: &classes [*classes]", "classes"),
    ],
)
def test_a_file_of_settings_that_its_parser_stumbles_over(
    file: str, text: str, words: str, places: Path, call: Call
) -> None:
    (places / file).write_text(text)
    told(call(f"submit --config {file}"), 2, words)


@pytest.mark.parametrize(
    "line",
    [
        f"train --workers 0 --plot {LONG}.png",
        f"train --workers 0 --plot {LONG}/curve.png",
        f"plot x --output {LONG}.svg",
        f"export x --output {LONG}.csv",
        f"export x --to csv --output {LONG}",
    ],
)
def test_a_name_that_is_too_long_for_a_file(line: str, call: Call) -> None:
    told(call(line), 2, "File name too long")


@pytest.mark.parametrize(
    "option",
    ["--images", "--test-images", "--iterations", "--checkpoint-every", "--shards", "--classes 3,"],
)
@pytest.mark.parametrize("number", [2**31, 10**20])
def test_a_number_that_no_run_can_reach(option: str, number: int, call: Call) -> None:
    separator = "" if option.endswith(",") else " "
    told(call(f"submit {option}{separator}{number}"), 2, f"={number}")


@pytest.mark.parametrize(
    "line",
    [
        "show {}",
        "watch {}",
        "plot {}",
        "compare {} x",
        "export {}",
        "replay {}",
        "train --resume {}",
    ],
)
@pytest.mark.parametrize("reference", [UNDECODED, f"2026{UNDECODED}"])
def test_a_run_whose_name_is_no_text(line: str, reference: str, call: Call) -> None:
    assert call("db upgrade").code == 0
    told(call(line.format(reference)), 3, reference.replace(UNDECODED, r"\udcff"))


def test_a_name_that_is_no_text(call: Call) -> None:
    told(call(f"submit --name {UNDECODED}"), 2, r"name='\udcff'")


@pytest.mark.parametrize("option", ["--dataset", "--data-dir", "--classes", "--unfolding"])
def test_a_setting_that_is_no_text(option: str, places: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tapeworks", "submit", option, UNDECODED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told(Called(code=process.returncode, out=process.stdout, err=process.stderr), 2, r"\udcff")
    assert not (places / "runs.db").exists()


@pytest.mark.parametrize("line", ["workers", "worker", "train --workers 1"])
@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost/0?foo=bar",
        "redis://localhost/0?retry=1",
        "redis://localhost/0?socket_timeout=-1",
        "redis://localhost/0?encoding=none",
        "redis://localhost/0?protocol=9",
        "redis://localhost/0?ssl_ca_certs=here",
        "rediss://localhost/0?ssl_cert_reqs=perhaps",
        "unix:///nowhere?foo=bar",
        "redis://two..dots/0",
        f"redis://{LONG}/0",
        "redis://localhost%00/0",
        f"redis://{UNDECODED}/0",
    ],
)
def test_a_redis_url_that_would_fail_as_it_connects(
    line: str, url: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", url)
    told(call(line), 4, "Expected a Redis URL such as")


def test_the_doctor_tells_a_redis_url_of_no_use(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://:hush@localhost/0?foo={UNDECODED}")
    called = call("doctor")
    assert called.code == 4
    assert "problem  redis      Expected a Redis URL" in called.out
    assert "hush" not in called.out
    assert called.err == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://me@localhost/0", "redis://me@localhost/0"),
        ("redis://me:hush@localhost/0", "redis://me:***@localhost/0"),
        ("redis://:hu@sh@localhost/0", "redis://:***@localhost/0"),
        ("redis://:hu/sh?hush#hush@localhost/0", "redis://:***@localhost/0"),
        ("redis://:hush@[::1", "redis://:***@[::1"),
        ("redis:/:hush@localhost", "redis:/:***@localhost"),
        (":hush@localhost", ":***@localhost"),
        ("redis://h/0?password=hush&db=1", "redis://h/0?password=***&db=1"),
        ("rediss://h/0?db=1&ssl_password=hush", "rediss://h/0?db=1&ssl_password=***"),
        (f"redis://{UNDECODED}", r"redis://\udcff"),
    ],
)
def test_a_redis_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize("line", ["runs", "submit", "db upgrade"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me@localhost:port/runs", "such as postgresql://"),
        ("postgresql://me:hush@localhost:port/runs", "such as postgresql://"),
        ("postgresql://me:h@ush@localhost/runs", "such as postgresql://"),
        ("postgresql://[::1/runs", "such as postgresql://"),
        ("me:hush://localhost", "such as postgresql://"),
        ("postgresql+foo://me:hush@localhost/runs?password=hush", "SQLite or PostgreSQL"),
        ("oracle://me:hush@localhost/runs?password=hush", "SQLite or PostgreSQL"),
        ("sqlite+foo://", "path of a file"),
        ("sqlite+foo:///runs.db", "no host, driver or options"),
        ("sqlite+aiosqlite:///runs.db", "no host, driver or options"),
        ("sqlite:///runs.db?timeout=abc", "no host, driver or options"),
        ("sqlite:///runs.db?foo=bar", "no host, driver or options"),
        ("sqlite://me:hush@localhost/runs.db", "no host, driver or options"),
        ("sqlite://runs.db", "path of a file"),
        ("sqlite:///runs%00.db", "path of a file"),
        ("~nosuchuser/runs.db", "no home directory"),
        (f"{UNDECODED}.db", "path of a file"),
    ],
)
def test_a_database_url_that_sqlalchemy_stumbles_over(
    line: str, url: str, words: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", url)
    told(called := call(line), 4, words)
    assert "ush" not in called.err


# Who lives


def another(start: str) -> str:
    """The owner of this test's parent process, if it had started then."""
    place = current_owner().rsplit(":", 2)[0]
    return f"{place}:{PARENT}:{start}"


@pytest.mark.parametrize("refusal", [FileNotFoundError, PermissionError])
def test_of_a_process_that_is_hidden_nothing_is_proved(
    refusal: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = another("1")
    monkeypatch.setattr(Path, "read_text", _raising(refusal))
    monkeypatch.setattr(os, "kill", _raising(PermissionError))
    assert not is_gone(owner)
    assert not is_alive(owner)
    assert not is_alive(another(HIDDEN))
    monkeypatch.setattr(os, "kill", _raising(ProcessLookupError))
    assert is_gone(owner)


def _raising(error: type[OSError]) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_this_process_is_alive_and_a_later_one_of_its_number_is_not() -> None:
    assert is_alive(current_owner())
    assert is_alive(current_owner(part=3))
    process, part = current_owner().rsplit("/", 1)
    assert not is_alive(f"{process}0/{part}")
    assert is_gone(another("1"))


@pytest.mark.parametrize("owner", ["", "alice", "elsewhere:boot:1:1", "{here}:x:1", "{here}:-1:1"])
def test_of_what_is_no_process_here_nothing_is_proved(owner: str) -> None:
    owner = owner.format(here=current_owner().rsplit(":", 2)[0])
    assert not is_gone(owner)
    assert not is_alive(owner)


def test_a_number_that_no_process_can_have_is_gone() -> None:
    place = current_owner().rsplit(":", 2)[0]
    assert is_gone(f"{place}:{10**30}:1")


# What others wrote


@pytest.mark.parametrize("since", ["yesterday", "", "0001-01-01T00:00:00+14:00"])
def test_a_workers_time_that_is_none_is_shown_as_it_is(
    since: str, call: Call, monkeypatch: pytest.MonkeyPatch, shared_fleet: Fleet
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", shared_fleet.redis_url)
    record = WorkerRecord(name="w1", host="here", pid=1, since=since, state="idle")
    shared_fleet.exchange.register_worker(record)
    called = call("workers")
    shared_fleet.exchange.deregister_worker("w1")
    assert (called.code, called.err) == (0, "")
    [line] = [line for line in called.out.splitlines() if line.startswith("w1 ")]
    assert since in line


def test_an_environment_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nmkdir -p .venv/bin && touch .venv/bin/python\nexit 3\n")
    python.chmod(0o755)
    made = subprocess.run(
        ["make", "--file", ROOT / "Makefile", f"PYTHON={python}", ".venv/bin/python"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode != 0
    assert [file.name for file in tmp_path.iterdir()] == ["python"]
