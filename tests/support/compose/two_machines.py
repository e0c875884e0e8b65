"""The Compose files of two machines: the whole on the first, workers on the second, TLS between."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import trustme

from tests.support import tls_proxy
from tests.support.compose.networks import CONNECT
from tests.support.compose.product import made_secrets
from tests.support.compose.project import Project, load, merged
from tests.support.compose.stack import Stack
from tests.support.waiting import until

#: The network between the machines.
BETWEEN = "entrance"

ENVIRONMENT = {"REDIS_TLS_ADDRESS": "10.0.0.5", "REDIS_TLS_HOST": "redis"}


def two_machines(
    authority: trustme.CA, directory: Path, environment: Mapping[str, str] | None = None
) -> Project:
    """All of the first machine, and as `remote` the workers of the second one."""
    made_secrets(directory)
    certificate, secrets = authority.issue_cert("redis"), directory / "secrets"
    certificate.private_key_pem.write_to_path(str(secrets / "redis_key"))
    certificate.cert_chain_pems[0].write_to_path(str(secrets / "redis_certificate"))
    authority.cert_pem.write_to_path(str(secrets / "redis_ca"))
    named = ENVIRONMENT | dict(environment or {})
    first = load("docker-compose.yml", "compose.tls.yml", environment=named)
    second = load("compose.worker.yml", environment=named)
    worker = second.services["worker"] | {"networks": [BETWEEN]}
    content = merged(first.content, {"services": {"remote": worker}})
    return Project(content=content, directory=directory)


def start_redis_behind_tls(stack: Stack) -> None:
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
