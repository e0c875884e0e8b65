"""The number of cores that a process may keep busy, by its affinity and its control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tapeworks.workers import cores
from tapeworks.workers.cores import core_count


@pytest.fixture(autouse=True)
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups, of which this process is in the innermost; eight cores."""
    own, inner = tmp_path / "own", tmp_path / "groups" / "pod" / "container"
    own.write_text("3:cpuset:/else\n0::/pod/container\n")
    inner.mkdir(parents=True)
    monkeypatch.setattr(cores, "OWN_GROUP", own)
    monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path / "groups"


def test_without_a_quota_those_of_the_affinity_count(groups: Path) -> None:
    assert core_count() == 8
    (groups / "pod" / "container" / "cpu.max").write_text("max 100000\n")
    assert core_count() == 8


@pytest.mark.parametrize(
    ("quota", "count"), [(200_000, 2), (250_000, 2), (50_000, 1), (1_000_000, 8)]
)
def test_a_quota_leaves_fewer_but_at_least_one(quota: int, count: int, groups: Path) -> None:
    (groups / "pod" / "container" / "cpu.max").write_text(f"{quota} 100000\n")
    assert core_count() == count


@pytest.mark.parametrize("above", [".", "pod"])
def test_a_quota_of_a_group_above_holds_as_well(above: str, groups: Path) -> None:
    (groups / "pod" / "container" / "cpu.max").write_text("400000 100000\n")
    (groups / above / "cpu.max").write_text("300000 100000\n")
    assert core_count() == 3


def test_a_system_without_affinity_or_groups_has_all_its_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(cores, "OWN_GROUP", tmp_path / "nowhere")
    assert core_count() == (os.cpu_count() or 1)
