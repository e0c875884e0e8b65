"""Passwords from files: what is taken, what is refused, and what is said of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from tapeworks.model.settings import Settings
from tapeworks.places import DATABASE, Places
from tapeworks.wire.addresses import DEFAULT_URL, LARGEST_BYTES, REDIS, redis_url, without_password
from tapeworks.wire.errors import PasswordUnusable
from tapeworks.wire.redis_client import connect
from tapeworks.workers.supervisor import Supervisor

REDIS_URL, REDIS_FILE = REDIS.variables
DATABASE_URL, DATABASE_FILE = DATABASE.variables


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a password that has to be quoted."""
    path = tmp_path / "password"
    path.write_text("hu/s:h@%20?#\n")
    return path


@pytest.mark.parametrize(
    ("url", "user", "place"),
    [
        ("redis://worker@host:6379/0", "worker", "host:6379/0"),
        ("redis://host", "", "host"),
        (
            "rediss://me@[::1]:6380/1?client_name=my@name",
            "me",
            "[::1]:6380/1?client_name=my@name",
        ),
    ],
)
def test_the_password_of_a_file_is_put_into_a_redis_url(
    url: str, user: str, place: str, file: Path
) -> None:
    filled = Places(Settings({REDIS_URL: url, REDIS_FILE: str(file)})).redis_url

    assert filled == f"{url.split(':')[0]}://{user}:hu%2Fs%3Ah%40%2520%3F%23@{place}"
    options = connect(filled).connection_pool.connection_kwargs
    assert (options.get("username"), options["password"]) == (user or None, "hu/s:h@%20?#")
    assert "hu" not in without_password(filled).replace(place, "")


def test_the_password_of_a_file_is_put_into_a_database_url(file: Path) -> None:
    url = "postgresql+psycopg://me@host:5432/runs?sslmode=verify-full&sslrootcert=/ca.pem"
    filled = make_url(Places(Settings({DATABASE_URL: url, DATABASE_FILE: str(file)})).database_url)

    assert filled.password == "hu/s:h@%20?#"
    assert filled == make_url(url).set(password=filled.password)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1))
def test_every_password_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, password: str
) -> None:
    path = tmp_path_factory.mktemp("passwords") / "password"
    path.write_bytes(password.encode() + b"\n")
    filled = Places(Settings({REDIS_FILE: str(path)})).redis_url

    assert unquote(urlsplit(filled).password or "") == password


def test_a_password_alone_belongs_to_the_usual_redis(file: Path) -> None:
    assert Places(Settings({REDIS_FILE: str(file)})).named_redis_url == DEFAULT_URL.replace(
        "//", "//:hu%2Fs%3Ah%40%2520%3F%23@"
    )


def test_empty_variables_count_as_not_set() -> None:
    empty = dict.fromkeys([*REDIS.variables, *DATABASE.variables], "")

    assert Places(Settings(empty)).named_redis_url is None
    assert Places(Settings(empty)).database_url == Places(Settings({})).database_url


def test_a_file_is_read_only_when_its_address_is_needed() -> None:
    assert Places(Settings({DATABASE_FILE: "/nowhere"})).redis_url == DEFAULT_URL


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hush\nhush\n", "more than one line"),
        (b"\nhush", "more than one line"),
        (b"hu\0sh", "unprintable characters"),
        (b"hush\xff", "is no text"),
        (b"hush" * LARGEST_BYTES, f"longer than {LARGEST_BYTES} bytes"),
    ],
)
def test_a_file_without_a_password_is_told_and_its_content_is_not(
    content: bytes, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(PasswordUnusable, match=why) as told:
        _ = Places(Settings({REDIS_FILE: str(path)})).redis_url

    assert str(path) in str(told.value)
    assert REDIS_FILE in str(told.value)
    assert "hu" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "why"), [("missing", "No such file"), (".", "Is a directory"), ("\udcff", "No such")]
)
def test_what_is_no_file_is_told(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(PasswordUnusable, match=f"cannot be read: {why}") as told:
        _ = Places(Settings({DATABASE_FILE: str(tmp_path / name)})).database_url

    str(told.value).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_told(file: Path) -> None:
    file.chmod(0)
    with pytest.raises(PasswordUnusable, match="Permission denied"):
        _ = Places(Settings({REDIS_FILE: str(file)})).redis_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://worker:hush@host:6379/0",
        "redis://:hu/sh@host",
        "redis://:hu?sh@host",
        "redis://:hu@sh@host",
        "redis://host/0?password=hush",
        "hush",
    ],
)
def test_a_password_in_the_url_as_well_is_refused(url: str, file: Path) -> None:
    with pytest.raises(PasswordUnusable, match=re.escape(REDIS_URL)) as told:
        _ = Places(Settings({REDIS_URL: url, REDIS_FILE: str(file)})).redis_url

    assert "hu" not in str(told.value).replace("have any", "")


def test_a_file_of_sqlite_has_no_password(file: Path) -> None:
    with pytest.raises(PasswordUnusable, match=DATABASE_URL):
        _ = Places(Settings({DATABASE_FILE: str(file)})).database_url


def test_a_password_in_a_file_is_not_in_the_environment_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("hush-hush\n")
    monkeypatch.setenv(REDIS.url_variable, "redis://worker@127.0.0.1:1/0")
    monkeypatch.setenv(REDIS.file_variable, str(tmp_path / "password"))
    url = redis_url(Settings(os.environ))

    handed_on = Supervisor(url, 1)._environment

    assert "hush-hush" in url
    assert not [value for value in handed_on.values() if "hush-hush" in value]
    assert redis_url(Settings(handed_on)) == url


def test_workers_of_another_redis_are_told_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REDIS.url_variable, "redis://worker@127.0.0.1:1/0")
    monkeypatch.setenv(REDIS.file_variable, "/nowhere")
    handed_on = Supervisor("redis://:own@127.0.0.1:2/0", 1)._environment
    assert redis_url(Settings(handed_on)) == "redis://:own@127.0.0.1:2/0"
