"""Source texts out of files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.allowed import allow, read_source, source_digest
from tapeworks.model.networks.own.module import load_module
from tapeworks.model.networks.own.spec import LONGEST_SOURCE

STATEFUL = """
seen = []
def parameters(seed): return seen
def losses(parameters, images, labels): return seen
"""


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    content = "# ä\r\nx = 1\n".encode()
    (tmp_path / "net.py").write_bytes(content)

    source = read_source(tmp_path / "net.py")

    assert source_digest(source) == hashlib.sha256(content).hexdigest()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.py")

    with pytest.raises(NetworkError, match="Expected a file as the network"):
        read_source(tmp_path / "net.py")


def test_a_long_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("#" * (LONGEST_SOURCE + 1))

    with pytest.raises(NetworkError, match="Expected at most 262,144 characters"):
        read_source(tmp_path / "net.py")


def test_two_networks_of_one_source_share_nothing() -> None:
    digest = allow(STATEFUL)

    assert load_module(digest).parameters(0) is not load_module(digest).parameters(0)
