"""`tapeworks secrets`: made once, kept, replaced when they are asked for, and never shown."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.support.calls import Call, Called
from tests.support.desk import told_in_one_sentence

pytestmark = pytest.mark.slow

SECRETS = {
    "redis_scheduler_password",
    "redis_worker_password",
    "redis_flower_password",
    "redis_web_password",
    "database_password",
    "database_reader_password",
    "database_superuser_password",
    "signing_key",
    "web_token",
}


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def shows_no_secret(called: Called, directory: Path) -> bool:
    said = called.out + called.err
    return not any(contents(directory)[name].strip() in said for name in SECRETS)


def test_secrets_are_made_and_nobody_else_may_enter_their_directory(
    places: Path, call: Call
) -> None:
    directory = places / "new" / "secrets"
    called = call(f"secrets {directory}")

    assert called.code == 0
    assert {Path(line).name for line in called.out.splitlines()} == {*SECRETS, "redis_users.acl"}
    assert set(contents(directory)) == {*SECRETS, "redis_users.acl"}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o444}
    secrets = {contents(directory)[name] for name in SECRETS}
    assert len(secrets) == len(SECRETS)
    assert {len(bytes.fromhex(secret)) for secret in secrets} == {32}
    assert shows_no_secret(called, directory)
    assert "--aclfile" in called.err


def test_the_users_have_hashes_of_their_passwords(places: Path, call: Call) -> None:
    call(f"secrets {places}/secrets")
    found = contents(places / "secrets")
    lines = found["redis_users.acl"].splitlines()

    assert lines[0] == "user default off"
    for line, user in zip(lines[1:], ("scheduler", "worker", "flower", "web"), strict=True):
        password = found[f"redis_{user}_password"].strip()
        digest = hashlib.sha256(password.encode()).hexdigest()
        assert line.startswith(f"user {user} on #{digest} resetkeys resetchannels -@all ")
        assert password not in found["redis_users.acl"]


def test_what_is_there_is_kept_and_what_is_deleted_is_replaced(places: Path, call: Call) -> None:
    directory = places / "secrets"
    call(f"secrets {directory}")
    (directory / "notes").write_text("mine")
    before = contents(directory)
    (directory / "redis_users.acl").unlink()
    again = call(f"secrets {directory}")

    assert again.out == f"{directory}/redis_users.acl\n"
    assert contents(directory) == before

    (directory / "redis_worker_password").unlink()
    rotated = call(f"secrets {directory}")

    after = contents(directory)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"redis_worker_password", "redis_users.acl"}
    assert {Path(line).name for line in rotated.out.splitlines()} == changed
    assert shows_no_secret(rotated, directory)


def test_the_users_file_may_be_a_link_and_keeps_its_mode(places: Path, call: Call) -> None:
    assert call("secrets secrets").code == 0
    made = places / "secrets" / "redis_users.acl"
    made.rename(places / "elsewhere.acl")
    made.symlink_to(places / "elsewhere.acl")
    (places / "elsewhere.acl").write_text("old")
    (places / "elsewhere.acl").chmod(0o640)
    assert call("secrets secrets").code == 0
    assert made.is_symlink()
    assert "user scheduler" in made.read_text()
    assert (places / "elsewhere.acl").stat().st_mode & 0o777 == 0o640


def test_a_password_of_the_operators_own_is_taken(places: Path, call: Call) -> None:
    (places / "secrets").mkdir(mode=0o700)
    (places / "secrets" / "redis_worker_password").write_text("my own")
    call(f"secrets {places}/secrets")

    users = (places / "secrets" / "redis_users.acl").read_text()
    assert f"user worker on #{hashlib.sha256(b'my own').hexdigest()} " in users


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("secrets", "Missing argument 'DIRECTORY'"),
        ("secrets text", "Cannot keep secrets in text"),
        ("secrets text/below", "Cannot keep secrets in text/below"),
        ("secrets /proc/nowhere", "Cannot keep secrets in /proc/nowhere"),
        ("secrets open", "chmod 700 open"),
        ("secrets closed", "closed/redis_worker_password, which is empty"),
    ],
)
def test_a_place_that_keeps_no_secrets_is_told(
    line: str, words: str, places: Path, call: Call
) -> None:
    (places / "text").write_text("in the way")
    (places / "open").mkdir(mode=0o755)
    (places / "closed").mkdir(mode=0o700)
    (places / "closed" / "redis_worker_password").touch()
    told_in_one_sentence(call(line), 2, words)

    assert list((places / "open").iterdir()) == []
    assert (places / "text").read_text() == "in the way"
    assert not (places / "closed" / "redis_users.acl").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root gives directories away.")
def test_a_directory_of_another_user_is_refused(places: Path, call: Call) -> None:
    directory = places / "theirs"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    told_in_one_sentence(call(f"secrets {directory}"), 2, "Expected a directory of your own")
    assert list(directory.iterdir()) == []
