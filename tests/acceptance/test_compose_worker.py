"""compose.worker.yml and compose.tls.yml: workers of another machine, let in through TLS alone."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.support import tls_proxy
from tests.support.compose.project import Project, load, made_secrets, merged
from tests.support.compose.stack import Stack
from tests.support.waiting import until

ENVIRONMENT = {"REDIS_TLS_ADDRESS": "10.0.0.5", "REDIS_TLS_HOST": "redis"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Redis of the first machine, and the worker of the second one, on the network between them."""
    made_secrets(tmp_path)
    certificate = trustme.CA().issue_cert("redis")
    certificate.private_key_pem.write_to_path(tmp_path / "secrets" / "redis_key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "secrets" / "redis_certificate")
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


def test_a_worker_of_another_machine_joins_only_a_redis_whose_certificate_it_knows(
    stack: Stack, tmp_path: Path
) -> None:
    _start_redis_with_tls(stack)
    address = stack.networks.addresses("redis")
