"""The benchmarks' commands, small: they measure real processes and tell it in their last lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT, environment


def _run(module: str, *words: str, data_dir: Path | None = None) -> list[str]:
    """Lines of a benchmark's standard output."""
    variables = {"TAPEWORKS_DATA_DIR": str(data_dir)} if data_dir else {}
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env=environment(**variables),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_scaling_compares_train_with_and_without_workers(mnist_dir: Path) -> None:
    words = ["--rounds", "1", "--parts", "defaults", "--images", "64", "--iterations", "6"]
    lines = _run("benchmarks.scaling", *words, data_dir=mnist_dir)

    assert re.fullmatch(r"scaling: default_64=[\d.]+ default_iteration_64=[\d.]+", lines[-1])


def test_a_bare_engine_tells_the_seconds_of_each_iteration(mnist_dir: Path) -> None:
    [line] = _run("benchmarks.bare_engine", "64", "3,6", "5", data_dir=mnist_dir)

    seconds = json.loads(line)
    assert len(seconds) == 5
    assert all(each > 0 for each in seconds)


def test_paced_measures_workers_that_wait_and_a_fleet_behind_a_longer_way() -> None:
    words = ["--rounds", "1", "--seconds", "1", "--points", "4x26", "fleet_16x100_2ms"]
    lines = _run("benchmarks.paced", *words)

    told = dict(word.split("=") for word in lines[-1].split()[1:])
    assert lines[-1].startswith("paced: ")
    assert {"paced_4x26", "fleet_16x100_2ms"} <= told.keys()
    assert all(0 < float(told[name]) <= 1 for name in ("paced_4x26", "fleet_16x100_2ms"))
    [fleet] = [line for line in lines if line.startswith("| 16 × 100 ms")]
    assert fleet.endswith("| 0 |"), "no answer of the fleet was refused or late"
