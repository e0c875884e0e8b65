"""The benchmarks' reports: quotients, tables and lines for programs, of times that are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import large_run, long_run, networks_report
from benchmarks.document import fill
from benchmarks.long_run import TIME, Series
from benchmarks.networks import check
from benchmarks.pacing.paced_run import Measured
from benchmarks.pacing.points import PACED, Point
from benchmarks.pacing.report import Results, draw, fitted, fleets_table, paced_table, worth_table
from benchmarks.pacing.report import told as told_of_paced
from benchmarks.scaling_report import (
    BARE,
    DDP,
    DEFAULT,
    DEFAULT_WHOLE,
    IN_PROCESS,
    LARGE,
    PINNED_IN_PROCESS,
    SEED_PROGRAM,
    SMALL,
    WHOLE,
    Samples,
    defaults_table,
    iterations_table,
    told,
)
from benchmarks.site import REDIS, SCHEDULER, WORKERS

#: Seconds of iterations and commands; the median counts.
SAMPLES: Samples = {
    (64, PINNED_IN_PROCESS): [0.008],
    (64, SMALL): [0.001, 0.004, 9.0],
    (64, DDP): [0.005],
    (1968, PINNED_IN_PROCESS): [0.09],
    (1968, BARE): [0.04],
    (1968, LARGE): [0.05],
    (1968, DDP): [0.1],
    (50, SMALL): [0.004],
    (50, SEED_PROGRAM): [2.0],
    (9000, IN_PROCESS): [0.5],
    (9000, DEFAULT): [0.25],
    (9000, WHOLE): [10.0],
    (9000, DEFAULT_WHOLE): [8.0],
}


def test_the_line_of_scaling_holds_quotients_of_medians() -> None:
    assert told(SAMPLES) == (
        "scaling: two_workers=1.800 engine_share=0.800 small_vs_alone=2.000 small_vs_ddp=1.250 "
        "large_vs_ddp=2.000 seed=500.000 default_9000=1.250 default_iteration_9000=2.000"
    )


def test_what_was_not_measured_is_not_told() -> None:
    assert told({(64, SMALL): [0.004]}) == "scaling:"
    assert defaults_table({(64, SMALL): [0.004]}) == []


def test_tables_tell_milliseconds_and_images_per_second() -> None:
    rows = iterations_table(SAMPLES)

    assert f"| 1,968 | {LARGE} | 50.0 ms | 39,360 |" in rows
    assert not any(DEFAULT in row for row in rows)
    assert defaults_table(SAMPLES)[2:] == ["| 9,000 | 500.0 ms | 250.0 ms | 10.0 s | 8.0 s |"]


def _measured(period: float, scheduler: float) -> Measured:
    return Measured(
        periods=[period, period, 5.0],
        processor={SCHEDULER: scheduler, WORKERS: 0.032, REDIS: 0.001},
        sent_again=0,
        round_trip=0.0,
    )


@pytest.fixture
def results() -> Results:
    """Fleets of which an iteration takes 5 ms and each shard 0.5 ms; the scheduler half of it."""
    found = Results()
    for workers, shard_ms in ((16, 100), (64, 100), (64, 256)):
        beyond = 0.005 + 0.0005 * workers
        point = Point(workers=workers, shard_ms=shard_ms)
        found.fleets[point].append(_measured(shard_ms / 1000 + beyond, beyond / 2))
    found.paced[Point(workers=16, shard_ms=64)].append(_measured(0.08, 0.01))
    found.peers["ray", Point(workers=16, shard_ms=64)] += [0.1]
    return found


def test_the_line_of_paced_tells_efficiencies_and_what_each_shard_takes(results: Results) -> None:
    assert told_of_paced(results) == (
        "paced: ray_16x64=1.250 scheduler_ms_per_shard=0.250 scheduler_ms_per_iteration=2.500 "
        "worker_ms_per_shard=2.000 paced_16x64=0.800 fleet_16x100=0.885 fleet_64x100=0.730 "
        "fleet_64x256=0.874"
    )


def test_the_formula_is_what_the_fleets_were_made_of(results: Results) -> None:
    assert fitted(results) == pytest.approx((0.005, 0.0005))


def test_paced_tables_show_every_point(results: Results, tmp_path: Path) -> None:
    assert paced_table(results)[2:] == ["| 16 × 64 ms | 0.800 | 0.640 | 10.0 ms | 2.00 ms |"]
    assert len(fleets_table(results)[2:]) == 3

    draw(results, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_the_formula_says_how_many_workers_are_worth_it() -> None:
    rows = worth_table(fixed=0.005, each=0.0005)[2:]

    assert rows[0] == "| 26 ms | none | 3 | 42 |"  # 26 ms / (26 + 5 + 42 · 0.5) is a half
    assert rows[2] == "| 256 ms | 47 | 118 | 502 |"


def test_the_last_tenth_of_a_long_run_is_compared_with_the_first() -> None:
    flat = Series(range(1, 101), [1e-3] * 100)
    growing = Series([10, 50, 100], [2e6, 3e6, 4e6])
    found = {TIME: flat, "redis_memory": growing}

    assert long_run.told(found, 100) == ("long_run: iterations=100 time=1.000 redis_memory=2.000")
    assert list(long_run.table(found, 100))[2:] == [
        "| time of an iteration [ms] | 1.0 | 1.0 | 1.0 |",
        "| memory of Redis [MB] | 2.0 | 4.0 | 4.0 |",
    ]


def test_a_part_of_a_long_run_that_nobody_looked_at_has_the_next_value() -> None:
    series = Series([40, 90], [1.0, 2.0])

    assert [series.part(number, 100) for number in (0, 3, 5, 9)] == [1.0, 1.0, 2.0, 2.0]


def test_the_line_of_a_large_run_tells_of_the_chunk_that_was_fetched_most() -> None:
    megabyte = 10**6
    found = large_run.Measured(
        images=100,
        data=10 * megabyte,
        periods=[0.5, 0.25, 0.25],
        published=[1, 1, 2, 1],
        fetched=[2, 1, 2, 1],
        received=megabyte,
        sent=2 * megabyte,
        scheduler=200 * megabyte,
        worker=900 * megabyte,
        redis=20 * megabyte,
    )

    assert large_run.told(found) == (
        "large_run: images=100 seconds_per_iteration=0.250 scheduler_mb=200.000 "
        "worker_mb=900.000 redis_mb=20.000 data_mb=10.000 received_mb=1.000 sent_mb=2.000 "
        "chunks=4.000 published=1.250 most_published=2.000 fetched=1.500 most_fetched=2.000"
    )
    assert "| memory of the scheduler, at the most | 200 MB |" in list(large_run.table(found))


def test_a_point_says_what_an_iteration_takes_at_best() -> None:
    four = next(point for point in PACED if point.each == 4)

    assert (four.name, four.shards, four.ideal_seconds) == ("4x26", 16, 0.104)
    assert four.efficiency(0.208) == 0.5
    assert four.iterations(seconds=10.3) == 100


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\n")

    fill(document, {"one": ["| 1 |", "| \\2 |"], "two": []})

    assert document.read_text() == (
        "a\n<!-- one -->\n| 1 |\n| \\2 |\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="<!-- three -->"):
        fill(document, {"three": ["x"]})


#: Seconds per image of examples, and of iterations by the number of workers.
WAYS = {
    ("lenet", "microbatch"): [1e-4, 1e-4, 9.0],
    ("lenet", "keras"): [3e-4],
    ("lenet", "keras-fit"): [2e-4],
    ("lenet", "per-image"): [4e-4],
    ("resnet", "microbatch"): [2e-3],
}
TRAININGS = {0: [0.3, 0.36], 2: [0.2, 0.2, 9.0]}


def test_the_line_of_networks_compares_with_the_faster_peer() -> None:
    assert networks_report.told(WAYS, TRAININGS) == (
        "networks: lenet_keras_ratio=2.000 two_workers_ratio=1.650"
    )


def test_the_tables_of_networks_show_medians_of_what_was_measured() -> None:
    assert networks_report.ways_table(WAYS, ["lenet", "resnet"]) == [
        "| µs per image | `lenet.py` | `resnet.py` |",
        "|---|---|---|",
        "| Tapeworks, `microbatch` | 100 | 2,000 |",
        "| Keras, `train_on_batch` | 300 |  |",
        "| Keras, `fit` | 200 |  |",
        "| Tapeworks, `per-image` | 400 |  |",
    ]
    assert networks_report.workers_table(TRAININGS, 660) == [
        "| 660 images an iteration | iteration | images/s |",
        "|---|---|---|",
        "| one process, no queue | 330.0 ms | 2,000 |",
        "| 2 workers | 200.0 ms | 3,300 |",
    ]
    assert networks_report.ways_table({}, ["lenet"]) == networks_report.workers_table({}, 1) == []


def test_ways_that_compute_something_else_end_the_benchmark() -> None:
    ours = {"losses": np.array([1.0, 3.0]), "gradient_norms": np.array([5.0, 6.0])}

    check({"per-image": ours, "keras": {"losses": np.array(2.0)}, "vmap": ours})

    with pytest.raises(SystemExit, match=r"Keras, `train_on_batch`: expected losses of 2\.0"):
        check({"per-image": ours, "keras": {"losses": np.array(2.1)}})
    with pytest.raises(SystemExit, match="Opacus: expected gradient_norms"):
        check({"per-image": ours, "opacus": ours | {"gradient_norms": np.array([6.0, 5.0])}})
