"""Runs paused, resumed, cancelled, retried and queued by the dozen, from other processes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tapeworks.model.config import RunConfig
from tapeworks.storage.actors import own_actor
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord, RunStatus
from tests.support.calls import Call
from tests.support.fleet import Fleet
from tests.support.processes import Start
from tests.support.training import Digests, digests, settings
from tests.support.waiting import until

#: A network so small that an iteration takes milliseconds.
SMALL = "--images 8 --image-side 6 --kernel-sizes 3 --filters 1 --learning-rate 0.01 --seed 7"

Undisturbed = Callable[[RunConfig], Digests]


def small(**values: object) -> RunConfig:
    own = {"images": 8, "image_side": 6, "kernel_sizes": (3,), "filters": 1, "learning_rate": 0.01}
    return settings(**own | {"microbatch_size": None} | values)


@pytest.fixture
def found(places: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """The history that all processes share, beside two workers."""
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", fleet.redis_url)
    history = History.open(os.environ["TAPEWORKS_DATABASE_URL"])
    yield history
    history.database.close()


@pytest.fixture
def found_anywhere(
    database_url: str,
    either_history: History,
    places: Path,
    fleet: Fleet,
    monkeypatch: pytest.MonkeyPatch,
) -> History:
    """The same, on SQLite and on PostgreSQL."""
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", fleet.redis_url)
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", database_url)
    return either_history


def test_runs_are_paused_resumed_and_cancelled_while_a_scheduler_drives_them(
    found_anywhere: History, start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    history = found_anywhere
    scheduler = start("scheduler")
    until(lambda: scheduler.says("takes runs"), "the scheduler is there")
    assert call(f"submit --name it --iterations 400 {SMALL}").code == 0
    assert call("submit --name behind --iterations 1000000 --priority -1").code == 0

    def run(name: str = "it") -> RunRecord:
        return history.find_run(name)

    until(lambda: run().completed_iterations > 2, "the run has begun")
    asked = call('pause it --reason "the machines are needed"')
    assert asked.code == 0
    until(lambda: run().status is RunStatus.PAUSED, "the run is paused")
    stopped_at = run().completed_iterations
    assert stopped_at < 400
    assert (run().reason, run().request) == ("the machines are needed", None)
    assert re.search(r"paused by \S+: the machines are needed", call("show it").out)

    until(lambda: run("behind").completed_iterations > 0, "the other run has begun")
    assert call("priority 5 it").out.endswith("is paused, priority 5\n")
    assert call("resume it").out.endswith("is queued, priority 5\n")
    assert call("cancel behind --reason mistaken").code == 0
    until(lambda: run("behind").status is RunStatus.CANCELLED, "the other run is cancelled")
    assert run("behind").reason == "mistaken"
    assert run("behind").ended_at is not None

    until(lambda: run().status is RunStatus.COMPLETED, "the run is completed")
    assert digests(history, run().id) == undisturbed(small(iterations=400))
    kinds = [event.kind for event in history.events(run().id)]
    wished = ["pause requested", "paused", "priority", "resumed", "claimed", "completed"]
    assert [kind for kind in kinds if kind in wished][1:] == wished
    scheduler.interrupt()
    assert scheduler.ended() == 130


def test_a_grid_goes_through_one_scheduler_two_runs_at_a_time(
    found: History, start: Start, call: Call, undisturbed: Undisturbed
) -> None:
    grid = "--vary learning_rate=0.001,0.01 --vary seed=1,2,3 --tag kind=grid --priority 2"
    network = SMALL.partition(" --learning-rate")[0]
    queued = call(f"submit --name g --iterations 40 {network} {grid} --json")
    assert queued.code == 0, queued.err
    names = [run["name"] for run in queued.values]
    assert names == [f"g-{number}" for number in range(1, 7)]

    scheduler = start("scheduler", "--max-runs", "2")
    done = until(
        lambda: [run for run in found.runs() if run.status is RunStatus.COMPLETED][5:], "all six"
    )
    assert done
    scheduler.interrupt()
    assert scheduler.ended() == 130

    runs = sorted(found.runs(), key=lambda run: run.created_at)
    combinations = [(rate, seed) for rate in (0.001, 0.01) for seed in (1, 2, 3)]
    for run, (rate, seed) in zip(runs, combinations, strict=True):
        config = small(iterations=40, learning_rate=rate, seed=seed)
        assert digests(found, run.id) == undisturbed(config)
        assert found.tags(run.id) == {"kind": "grid"}
    assert most_at_once(runs) == 2


def most_at_once(runs: list[RunRecord]) -> int:
    """Return the largest number of runs that were driven at the same time."""
    moments = [(run.started_at, 1) for run in runs] + [(run.ended_at, -1) for run in runs]
    now, most = 0, 0
    for _, change in sorted(moments, key=lambda moment: (str(moment[0]), moment[1])):
        now += change
        most = max(most, now)
    return most


def test_a_run_is_retried_from_a_checkpoint_to_the_bits_that_it_would_have_had(
    call: Call, places: Path
) -> None:
    train = "--workers 0 --iterations 6 --name first --tag k=v"
    whole = call(f"train {SMALL} {train} --json").values
    retried = call("retry first --after 4 --note again --priority 3 --json")
    assert retried.code == 0, retried.err
    new = retried.values
    assert (new["parent_id"], new["parent_iterations"]) == (whole["id"], 4)
    assert (new["completed_iterations"], new["status"]) == (4, "queued")
    resumed = call(f"train --workers 0 --resume {new['id']} --json").values
    assert resumed["parameters_digest"] == whole["parameters_digest"]
    assert resumed["losses"] == whole["losses"][4:]
    told = call(f"show {new['id']} --events --json").values
    assert [one["actor"] for one in told if one["kind"] == "claimed"] == [own_actor().user]
    assert call(f"replay {new['id']}").code == 0
    assert call(f"replay {new['id']} 5").code == 0
    assert call(f"replay {new['id']} 2").code == 3

    changes = "--set learning_rate=0.5 --set iterations=8 --name other --json"
    other = call(f"retry {whole['id']} {changes}").values
    assert (other["parent_id"], other["parent_iterations"]) == (whole["id"], None)
    assert other["tags"] == {"k": "v"}
    assert other["configuration"]["learning_rate"] == 0.5
    assert (other["completed_iterations"], other["iterations"], other["name"]) == (0, 8, "other")


def test_a_retry_from_the_beginning_draws_with_its_own_seed(call: Call) -> None:
    first = call(f"train {SMALL} --workers 0 --iterations 2 --name first --json").values
    for name in ("again", "other"):
        seed = 7 if name == "again" else 8
        new = call(f"retry first --set seed={seed} --name {name} --json").values
        submitted = call(f"submit {SMALL} --seed {seed} --iterations 2 --json").values
        assert new["parameters_digest"] == submitted["parameters_digest"]
    assert call(f"retry {first['id']} --set filters=2").code == 0
    refused = call(f"retry {first['id']} --after 1 --set seed=9")
    assert (refused.code, refused.out) == (2, "")
    assert "nothing that a seed would change" in refused.last_words


def test_a_retry_is_bound_to_the_images_and_the_kind_of_workers_of_its_parent(
    call: Call, places: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 6, 6)).astype(np.uint8)
    own = "--dataset own.npz --images 8 --image-side 6 --kernel-sizes 3 --filters 1"
    np.savez(places / "own.npz", images=images, labels=np.tile([3, 6], 4))
    old = call(f"train {own} --workers 0 --iterations 3 --name own --json").values
    new = call("retry own --after 1 --json").values
    bound = ("images_digest", "fingerprint")
    assert [new[name] for name in bound] == [old[name] for name in bound]
    np.savez(places / "own.npz", images=255 - images, labels=np.tile([3, 6], 4))
    resumed = call(f"train --workers 0 --resume {new['id']}")
    assert resumed.code == 1
    assert "began on other images" in resumed.last_words


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("retry it --after 6", 2, "begin before the last of 6 iterations"),
        ("retry it --after 99 --set iterations=100", 3, "keeps no parameters after 99 iterations"),
        ("retry it --after 1 --set kernel_sizes=5", 2, "expected conv_1 to be float32 of shape"),
        ("retry it --set learning_rat=5", 2, "Did you mean learning_rate?"),
        ("retry it --set 5", 2, "Expected --set NAME=VALUE"),
        ("retry nothing", 3, "no run 'nothing'"),
        ("pause it", 2, "is completed already"),
        ("resume it", 2, "only a paused one is resumed"),
        ("cancel it", 2, "is completed already"),
        ("priority 3 it", 2, "its priority has no use"),
        ("pause it --reason ''", 2, "Expected a reason of 1 to 1000 characters"),
        ("priority -99999999 it", 2, "a whole number from -1000000 to 1000000"),
        ("priority high it", 2, "a whole number from -1000000 to 1000000. Received: priority=high"),
        ("priority 99999999 it", 2, "Received: priority=99999999"),
        ("delete it", 2, "confirm with --yes"),
        ("delete it nothing --yes", 3, "no run 'nothing'"),
        ("submit --paused --follow", 2, "A paused run has no end to wait for"),
        ("submit --vary seed=1,x", 2, "seed: expected a whole number"),
        ("submit --vary seed", 2, "Expected --vary NAME=VALUE"),
        ("submit --vary seed=1 --vary seed=2", 2, "each name once"),
        ("submit --seed 3 --vary seed=1,2", 2, "seed=3 and to vary seed=1,2; leave one out"),
        ("submit --option a=3 --vary option.a=1,2", 2, "option.a=3 and to vary option.a=1,2"),
        ("submit --vary seed=1,2,1 --vary filters=4", 2, "Received: seed=1, filters=4 twice"),
        ("submit --vary sed=1", 2, "Did you mean seed?"),
        (f"submit --vary seed={','.join(map(str, range(1001)))}", 2, "a grid of 1 to 1000 runs"),
        ("submit --tag kind", 2, "Expected --tag NAME=VALUE"),
        ("submit --tag 'a b=c'", 2, "Expected tags key=value"),
        ("submit --note ''", 2, "Expected a note"),
        ("train --resume it --tag a=b", 2, "leave out all others"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence_and_nothing_is_stored(
    line: str, code: int, words: str, call: Call, places: Path
) -> None:
    assert call(f"train {SMALL} --workers 0 --iterations 6 --name it").code == 0
    before = call("runs --json").values
    called = call(line)
    assert (called.code, called.out) == (code, "")
    assert words in called.last_words
    assert "Traceback" not in called.err
    assert call("runs --json").values == before


def test_a_deleted_run_is_gone(call: Call) -> None:
    call(f"train {SMALL} --workers 0 --iterations 2 --name it")
    deleted = call("delete it --yes")
    assert deleted.code == 0
    assert call("runs --json").values == []
    assert call("delete it --yes").code == 3


def test_what_a_large_run_will_store_is_told_before_it_is_queued(places: Path, call: Call) -> None:
    line = f"submit --name large --iterations 8000 --optimizer adam --config {places / 'c.yaml'}"
    (places / "c.yaml").write_text("images: 20\n")
    told = "will store some 285 MB in the database, most of it 8,001 checkpoints of 35 kB; less"

    assert f"This run {told} with --checkpoint-every 800\n" in call(line).err
    assert told in call("retry large").err
    assert "will store" not in call(f"{line} --checkpoint-every 800").err
