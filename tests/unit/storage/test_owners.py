"""Owners that are provably dead, and those that only may be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tapeworks.storage.owners import current_owner, is_gone


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that tells its owner's name and waits."""
    script = (
        "import sys; from tapeworks.storage.owners import current_owner\n"
        "print(current_owner(), flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def owner_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_this_process_lives() -> None:
    assert not is_gone(current_owner())


def test_a_process_names_itself_always_the_same() -> None:
    assert current_owner() == current_owner()
    assert current_owner().split(":")[-2] == str(os.getpid())


def test_another_process_lives_until_it_is_killed(child: subprocess.Popen[str]) -> None:
    owner = owner_of(child)
    assert not is_gone(owner)
    child.kill()
    child.wait()
    assert is_gone(owner)


def test_a_killed_process_is_gone_before_its_parent_asks(child: subprocess.Popen[str]) -> None:
    owner = owner_of(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(owner)


def test_a_later_process_of_the_same_number_is_another() -> None:
    place, _, _ = current_owner().rpartition(":")
    assert is_gone(f"{place}:1")


@pytest.mark.parametrize("owner", ["", "alice", "a:b:c", "elsewhere:boot:1:1"])
def test_of_others_nothing_is_proved(owner: str) -> None:
    assert not is_gone(owner)


def test_another_boot_of_this_machine_proves_nothing() -> None:
    host, _, pid, start = current_owner().split(":")
    assert not is_gone(f"{host}:another-boot:{pid}:{start}0")
