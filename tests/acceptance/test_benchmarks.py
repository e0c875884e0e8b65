"""The benchmarks' commands, small: they measure real processes and tell it in their last lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import long_run
from benchmarks.processes import ROOT, environment

pytestmark = pytest.mark.long


#: Of the benchmark of networks.
_SHORT = ["--rounds", "1", "--networks", "lenet"]


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


@pytest.mark.parametrize("form", ["per-image", "summed"])
def test_a_bare_engine_tells_the_seconds_of_each_iteration(form: str, mnist_dir: Path) -> None:
    [line] = _run("benchmarks.bare_engine", "64", "3,6", "5", form, data_dir=mnist_dir)

    seconds = json.loads(line)
    assert len(seconds) == 5
    assert all(each > 0 for each in seconds)


def test_paced_measures_workers_that_wait_and_a_fleet_behind_a_longer_way() -> None:
    words = ["--rounds", "1", "--seconds", "3", "--points", "4x26", "fleet_16x100_2ms"]
    lines = _run("benchmarks.paced", *words)

    told = _told(lines[-1], "paced")
    assert {"paced_4x26", "fleet_16x100_2ms"} <= told.keys()
    assert all(0 < told[name] <= 1 for name in ("paced_4x26", "fleet_16x100_2ms"))
    [fleet] = [line for line in lines if line.startswith("| 16 × 100 ms")]
    again = int(fleet.split("|")[-2])  # a busy machine makes an answer late; no more than that
    assert again < 16, "the fleet's answers are refused or late"


def test_a_long_run_tells_what_has_grown(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    lines = _run("benchmarks.long_run", "--iterations", "40", "--plot", str(drawn))

    told = _told(lines[-1], "long_run")
    assert told.pop("iterations") == 40
    assert told.keys() == long_run.LABELS.keys()
    assert all(quotient > 0 for quotient in told.values())
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_a_large_run_tells_memory_and_how_often_images_were_fetched(mnist_dir: Path) -> None:
    words = ["--images", "600", "--iterations", "4"]
    lines = _run("benchmarks.large_run", *words, data_dir=mnist_dir)

    told = _told(lines[-1], "large_run")
    assert told["images"] == 600
    assert told["data_mb"] == pytest.approx(600 * (27**2 + 1) / 1e6, abs=0.001)
    assert all(told[f"{process}_mb"] > 1 for process in ("scheduler", "worker", "redis"))
    assert told["chunks"] == 3
    assert told["published"] == told["most_published"] == 1
    assert 1 <= told["fetched"] <= told["most_fetched"] <= 2, "once by each worker at the most"


def _told(line: str, benchmark: str) -> dict[str, float]:
    """Values of a line for programs."""
    head, *words = line.split()
    assert head == f"{benchmark}:"
    return {name: float(value) for name, value in (word.split("=") for word in words)}


def test_start_up_tells_each_part_and_the_ratio_of_two_ways() -> None:
    *parts, last = _run("benchmarks.start_up", "--rounds", "1")

    names = ["python", "queue", "tensorflow", "compiling", "plain_tensorflow"]
    assert [line.split()[0] for line in parts] == names
    assert 0 < _told(last, "start_up")["tensorflow_ratio"] < 1


def test_networks_compares_ways_that_have_the_same_losses() -> None:
    ways = ["microbatch", "keras", "per-image"]
    lines = _run("benchmarks.networks", *_SHORT, "--parts", "ways", "--ways", *ways)

    assert _told(lines[-1], "networks")["lenet_keras_ratio"] > 0
    row = re.compile(r"\| (Tapeworks|Keras), `.*` \| [\d,]+ \|")
    assert sum(bool(row.fullmatch(line)) for line in lines) == len(ways)


def test_networks_compares_two_pinned_workers_with_one_process(mnist_dir: Path) -> None:
    words = [*_SHORT, "--parts", "workers", "--iterations", "6"]
    lines = _run("benchmarks.networks", *words, data_dir=mnist_dir)

    told = _told(lines[-1], "networks")
    assert told.keys() == {"two_workers_ratio"}
    assert told["two_workers_ratio"] > 0


def test_multi_worker_tells_whether_tensorflows_own_strategy_works() -> None:
    fit, loop = _run("benchmarks.multi_worker")[-2:]

    assert re.match(r"Keras' fit (works$|fails: \w+: .*)", fit)
    assert loop.endswith("works"), loop


def test_web_beside_times_iterations_with_and_without_open_pages() -> None:
    *engines, last = _run("benchmarks.web_beside", "--rounds", "1", "--seconds", "3")

    assert [line.split()[0] for line in engines] == ["sqlite", "postgresql"]
    for line in engines:
        polls = re.search(r"with (\d+) polls a second", line)
        assert polls, line
        assert int(polls[1]) >= 5, "the pages are polled"
    told = _told(last, "web_beside")
    assert told.keys() == {"sqlite_ratio", "postgresql_ratio"}
    assert all(ratio > 0 for ratio in told.values())


def test_web_times_pages_and_open_ones_on_both_databases() -> None:
    words = ["--runs", "40", "--iterations", "400", "--long", "2000", "--rounds", "1"]
    lines = _run("benchmarks.web", *words, "--seconds", "3")

    for line, engine in zip(lines[-2:], ("sqlite", "postgresql"), strict=True):
        head, named, *values = line.split()
        assert (head, named) == ("web:", f"engine={engine}")
        told = {name: float(value) for name, value in (word.split("=") for word in values)}
        pages = {"runs_page_ms", "run_page_ms", "poll_ms"}
        assert told.keys() == pages | {"twenty_pages_core_share", "while_training_core_share"}
        assert all(value > 0 for value in told.values())
