"""compose.worker.yml and compose.tls.yml: workers of another machine, let in through TLS alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support import tls_proxy
from tests.support.compose.product import made_secrets
from tests.support.compose.project import Project, load, merged
from tests.support.compose.stack import Stack
from tests.support.waiting import until

#: Opens a connection, or fails.
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"

ENVIRONMENT = {"REDIS_TLS_ADDRESS": "10.0.0.5", "REDIS_TLS_HOST": "redis"}


@pytest.fixture
def authority() -> trustme.CA:
    """Who vouches for the Redis of the first machine."""
    return trustme.CA()


@pytest.fixture
def project(authority: trustme.CA, tmp_path: Path) -> Project:
    """Redis of the first machine, and the worker of the second one, on the network between them."""
    made_secrets(tmp_path)
    certificate, secrets = authority.issue_cert("redis"), tmp_path / "secrets"
    certificate.private_key_pem.write_to_path(str(secrets / "redis_key"))
    certificate.cert_chain_pems[0].write_to_path(str(secrets / "redis_certificate"))
    authority.cert_pem.write_to_path(str(secrets / "redis_ca"))
    first = load("docker-compose.yml", "compose.tls.yml", environment=ENVIRONMENT)
    second = load("compose.worker.yml", environment=ENVIRONMENT)
    worker = second.services["worker"] | {"networks": ["entrance"]}
    content = merged(first.content, {"services": {"remote": worker}})
    return Project(content=content, directory=tmp_path)


@pytest.fixture
def stack(project: Project, tmp_path: Path) -> Iterator[Stack]:
    """Both machines' containers; none is left afterwards."""
    stack = Stack(project, tmp_path, ["redis", "remote-1", "remote-2"])
    yield stack
    stack.close()


def test_a_worker_of_another_machine_joins_a_redis_whose_certificate_it_knows_and_no_other(
    stack: Stack, authority: trustme.CA, tmp_path: Path
) -> None:
    _start_redis_behind_tls(stack)

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "secrets" / "redis_ca"))
    stack.start("remote-1")
    until(lambda: stack.container("remote-1").code is not None, "the worker ends")
    assert "name the file of the authority" in stack.said("remote-1")

    authority.cert_pem.write_to_path(str(tmp_path / "secrets" / "redis_ca"))
    stack.start("remote-2")
    stack.wait_until_healthy("remote-2")
    assert stack.container("remote-2").code is None
    stack.stop("remote-2")


def _start_redis_behind_tls(stack: Stack) -> None:
    """The Redis at hand has no TLS: what its options would open is opened by a proxy before it."""
    words = stack.service("redis")["command"]
    place = words.index("--tls-port")
    plain, tls = words[:place], dict(zip(words[place::2], words[place + 1 :: 2], strict=True))
    stack.service("redis")["command"] = plain
    stack.start("redis")
    stack.wait_until_healthy("redis")
    files = [tls["--tls-cert-file"], tls["--tls-key-file"]]
    proxy = [sys.executable, tls_proxy.__file__, "redis", "", tls["--tls-port"], "6379"]
    background = f"tail -f /dev/null | {shlex.join([*proxy, *files])} > /data/proxy 2>&1 &"
    assert stack.container("redis").run(["/bin/sh", "-c", background], 10) == 0
    connected = [sys.executable, "-c", CONNECT, "127.0.0.1", tls["--tls-port"]]
    until(lambda: stack.container("redis").run(connected, 10) == 0, "the proxy listens")
