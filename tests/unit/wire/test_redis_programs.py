"""The choice of a private Redis' server among those that a machine has."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from tapeworks.wire import redis_programs
from tapeworks.wire.errors import ProgramMissing
from tapeworks.wire.redis_programs import END_OF_LIFE, Program, Version, find_program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, name: str, printed: str) -> Path:
    file = path / name
    file.write_text(f"#!/bin/sh\necho '{printed}'\n")
    file.chmod(0o755)
    return file


def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_programs, "_find_program", lambda *_: ())


def test_a_server_of_the_path_that_gets_fixes_is_taken(path: Path) -> None:
    file = program(path, "redis-server", "Redis server v=8.10.0 sha=0 malloc=libc")
    assert find_program() == Program(path=file, version=Version(name="Redis", number="8.10.0"))


def test_valkey_on_the_path_is_taken_too(path: Path) -> None:
    file = program(path, "valkey-server", "Valkey server v=9.9.1 sha=0 malloc=libc")
    assert find_program().path == file


def test_a_server_of_the_path_past_its_end_of_life_gives_way_to_the_package(path: Path) -> None:
    program(path, "redis-server", "Redis server v=6.2.14 sha=0 malloc=libc")
    found = find_program()
    assert found.version.name == "Valkey"
    assert found.version.is_supported


def test_of_old_servers_alone_the_newest_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_packages(monkeypatch)
    program(path, "redis-server", "Redis server v=6.2.14 sha=0 malloc=libc")
    newer = program(path, "valkey-server", "Redis server v=7.0.15 sha=0 malloc=libc")
    assert find_program().path == newer


@pytest.mark.parametrize("printed", ["out of order", "Redis server v=6.0.16 sha=0 malloc=libc"])
def test_what_prints_no_version_or_one_that_is_of_no_use_is_no_server(
    printed: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "redis-server", printed)
    assert find_program().path != path / "redis-server"
    without_packages(monkeypatch)
    with pytest.raises(ProgramMissing, match="There is no redis-server"):
        find_program()


@pytest.mark.parametrize("line", END_OF_LIFE, ids=str)
def test_a_version_is_supported_until_its_last_day(
    line: tuple[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (name, (major, minor)), last = line, END_OF_LIFE[line]
    version = Version(name=name, number=f"{major}.{minor}.7")
    for day, supported in ((last, True), (last + timedelta(days=1), False)):
        today = type("Today", (date,), {"today": classmethod(lambda _, day=day: day)})
        monkeypatch.setattr(redis_programs, "date", today)
        assert version.is_supported is supported
