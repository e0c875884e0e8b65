"""Addresses of databases: what is meant is read, and nothing that was mistyped becomes a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tapeworks
from tapeworks.storage.connection.database import Database
from tapeworks.storage.connection.urls import parse_url
from tapeworks.storage.errors import StorageUnreachable
from tapeworks.wire.errors import RedisMisconfigured, RedisUnreachable
from tapeworks.wire.redis_client import connect
from tests.support.calls import Call

MISTYPED = [
    "postgres:SECRET@host/db",
    "postgres:me:SECRET@host/db",
    "postgresql//me:SECRET@host/db",
    "postgresql:/me:SECRET@host/db",
    "postgresql:///me:SECRET@host/db",
    "postgresql:://me:SECRET@host/db",
    "//me:SECRET@host/db",
    "me:SECRET@host/db",
    "SECRET@host/db",
    "host:5432/SECRET",
    "postgresql//host/SECRET",
    "host=here dbname=runs password=SECRET",
    "dbname = runs user = SECRET",
    "host/db?password=SECRET",
    "TAPEWORKS_DATABASE_URL=postgresql://me:SECRET@host/db",
    "jdbc:postgresql://host/db?password=SECRET",
    "file:SECRET.db",
    "sqlite:SECRET.db",
    "sqlite//SECRET.db",
    "sqlite:///file:SECRET.db",
    "SECRET.db\r",
    "SECRET\n.db",
    '"SECRET.db"',
    " SECRET.db",
    "\ufeffSECRET.db",
    "postgresql://me:SECRET@host/db\r",
]


@pytest.mark.parametrize("read", [Database, tapeworks.connect])
@pytest.mark.parametrize("url", MISTYPED)
def test_a_mistyped_url_is_no_file_and_is_not_shown(
    read: Callable[[str], object], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageUnreachable, match="Expected the path of a file, or a URL") as told:
        read(url)
    assert "SECRET" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["doctor", "runs", "db check", "db upgrade"])
def test_no_command_shows_a_mistyped_url(
    line: str, call: Call, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", "postgres:SECRET@host/db")
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", "redis:/SECRET@host/0")
    called = call(line)
    assert called.code == 4
    assert "SECRET" not in called.out + called.err
    assert list(places.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    ["runs.db", "a/b.db", "/data/me@here/runs:1.db", "./me:you@x.db", "../x@y.db", "lr=0.1.db"],
)
def test_a_path_is_a_path(path: str) -> None:
    assert parse_url(path).database == str(Path(path))


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("~/runs.db", "/home/ada/runs.db"),
        ("sqlite:///~/runs.db", "/home/ada/runs.db"),
        ("SQLite:///~/runs.db", "/home/ada/runs.db"),
        ("sqlite:///runs.db", "runs.db"),
        ("sqlite:////data/runs.db", "/data/runs.db"),
        ("./~/runs.db", "~/runs.db"),
        (Path("~/runs.db"), "/home/ada/runs.db"),
    ],
)
def test_a_file_is_found_below_home(
    url: str | Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert parse_url(url).database == file


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("$HOME/runs.db", "in place of $HOME"),
        ("sqlite:///${HOME}/runs.db", "in place of ${HOME}"),
        ("sqlite:////data/${WHO}.db", "in place of ${WHO}"),
        ("sqlite:///%USERPROFILE%/runs.db", "in place of %USERPROFILE%"),
        ("sqlite:///~nosuchuser/runs.db", "no home directory"),
        ("sqlite:///C:\\runs\\runs.db", "as this system writes paths"),
        ("sqlite:///c:/runs/runs.db", "as this system writes paths"),
        ("\\\\server\\runs.db", "as this system writes paths"),
        ("sqlite:////~/runs.db", "as this system writes paths"),
        ("/~ada/runs.db", "as this system writes paths"),
    ],
)
def test_a_path_that_no_shell_has_expanded_is_refused(url: str, words: str) -> None:
    with pytest.raises(StorageUnreachable) as told:
        Database(url)
    assert words in str(told.value)


def test_a_percent_sign_may_be_part_of_a_name() -> None:
    assert parse_url("/data/100%25/a%20b%20c.db").database == "/data/100%25/a%20b%20c.db"


def test_a_sockets_directory_in_the_place_of_a_host_is_found() -> None:
    url = parse_url("postgresql://me:hush@%2Frun%2Fpostgresql:5433/runs?sslmode=disable")
    assert (url.host, url.port, url.database, url.password) == (None, None, "runs", "hush")
    assert url.query == {"host": "/run/postgresql", "port": "5433", "sslmode": "disable"}


@pytest.mark.parametrize(
    "scheme",
    [
        "postgres",
        "postgresql",
        "PostgreSQL",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgresql+psycopg2cffi",
        "postgresql+psycopg_async",
        "postgresql+asyncpg",
        "postgresql+pg8000",
    ],
)
def test_the_driver_of_another_program_is_replaced_by_ours(scheme: str) -> None:
    url = parse_url(f"{scheme}://me:hush@host:5432/runs?sslmode=require")
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://me:hush@host:5432/runs?sslmode=require"
    )


@pytest.mark.parametrize(
    "url",
    [
        "redis:SECRET@host/0",
        "redis//:SECRET@host/0",
        "redis:/SECRET@host/0",
        "SECRET@host",
        ":SECRET@host/0",
        "redis://:SECRET/0",
        "redis://:SECRET",
        "redis://host:6379:SECRET/0",
        "rediss//host?password=SECRET",
        "TAPEWORKS_REDIS_URL=redis://:SECRET@host/0",
        "http://:SECRET@host/0",
    ],
)
def test_a_mistyped_redis_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(RedisUnreachable, match="Expected a Redis URL such as") as told:
        connect(url)
    assert "SECRET" not in str(told.value)


@pytest.mark.parametrize("end", ["tapeworks", "1/2", "%31x", "-1"])
def test_a_redis_database_is_a_number(end: str) -> None:
    with pytest.raises(RedisMisconfigured, match="Expected the number of a Redis database") as told:
        connect(f"redis://:SECRET@host:6379/{end}")
    assert str(told.value).endswith(f"Received: redis://:***@host:6379/{end}")


def test_a_redis_database_may_be_left_out() -> None:
    for url in ("redis://host", "redis://host/", "redis://host/3", "redis://host?db=3"):
        connect(url).close()
