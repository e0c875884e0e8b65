"""Every command, called rightly: what it prints, writes and leaves alone."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tapeworks.model.config import RunConfig, run_config
from tapeworks.plotting.curves import Measure, curves
from tapeworks.storage.history import History
from tapeworks.storage.migrations import REVISION
from tests.support.calls import TRAIN_FIRST, Call
from tests.support.fleet import Fleet
from tests.support.processes import ROOT, Start, all_gone
from tests.support.training import Digests

#: The beginning of every PNG file.
PNG = b"\x89PNG\r\n\x1a\n"

Undisturbed = Callable[[RunConfig], Digests]


def test_train_tells_a_program_everything_about_its_run(
    trained: dict[str, Any], undisturbed: Undisturbed
) -> None:
    expected = undisturbed(run_config({"images": 20, "iterations": 5, "test_images": 30}))
    assert trained["parameters_digest"] == expected.parameters
    assert trained["history_digest"] == expected.history
    assert (trained["name"], trained["status"]) == ("first", "completed")
    assert trained["iterations"] == trained["completed_iterations"] == len(trained["losses"]) == 5
    assert trained["first_loss"] == trained["losses"][0]
    assert trained["final_loss"] == trained["losses"][-1]
    [evaluation] = trained["evaluations"]
    assert (evaluation["images"], evaluation["completed_iterations"]) == (30, 5)
    assert 0 <= evaluation["accuracy"] <= 1
    assert trained["configuration"]["images"] == 20
    assert Path("loss_curve.png").read_bytes().startswith(PNG)


def test_train_tells_a_person_the_losses_the_accuracy_the_time_and_the_curve(call: Call) -> None:
    called = call("train --workers 0 --images 20 --iterations 3 --test-images 10 --plot it.svg")
    assert called.code == 0
    assert re.search(r"^run +\S+, completed after 3 iterations$", called.out, re.MULTILINE)
    assert re.search(
        r"^loss +[\d.]+ at first, [\d.]+ at last, sum over 20 images$", called.out, re.MULTILINE
    )
    assert re.search(r"^accuracy +[\d.]+% of 10 held-out images$", called.out, re.MULTILINE)
    assert re.search(r"^time +[\d.]+ s", called.out, re.MULTILINE)
    assert str(Path("it.svg").resolve()) in called.out
    assert "iteration 3/3" in called.err
    assert "<svg" in Path("it.svg").read_text()


def test_train_in_a_process_with_workers_gives_the_same_bits_and_leaves_nothing(
    start: Start, places: Path, undisturbed: Undisturbed
) -> None:
    training = start("train", "--workers", "1", *TRAIN_FIRST.split()[3:])
    while training.process.poll() is None:
        training.descendants()
    assert training.ended() == 0, training.err
    all_gone(training)
    values = json.loads(training.out)
    expected = undisturbed(run_config({"images": 20, "iterations": 5, "test_images": 30}))
    assert values["parameters_digest"] == expected.parameters
    assert values["history_digest"] == expected.history
    left = {path.name for path in places.iterdir() if not path.name.startswith(("0-", "home"))}
    assert left <= {"runs.db", "runs.db-wal", "runs.db-shm", "loss_curve.png"}


def test_settings_come_from_options_then_the_file_then_the_defaults(
    places: Path, call: Call
) -> None:
    (places / "run.yaml").write_text("images: 12\nlearning-rate: 0.002\nclasses: [1, 7]\n")
    (places / "run.toml").write_text('images = 12\nlearning_rate = 0.002\nclasses = "1,7"\n')
    for file in ("run.yaml", "run.toml"):
        values = call(f"submit --config {file} --images 9 --json").values["configuration"]
        assert (values["images"], values["learning_rate"]) == (9, 0.002)
        assert (values["classes"], values["iterations"]) == ([1, 7], 50)


def test_given_parameters_are_where_a_run_starts(
    trained: dict[str, Any], call: Call, undisturbed: Undisturbed
) -> None:
    assert call("export first --to safetensors --after 2 --output two.safetensors").code == 0
    line = "train --workers 0 --images 20 --iterations 3 --init-from two.safetensors --json"
    continued = call(line).values
    assert continued["losses"] == trained["losses"][2:]
    assert continued["parameters_digest"] == trained["parameters_digest"]


def test_a_run_that_pauses_is_resumed_to_the_same_bits(
    call: Call, undisturbed: Undisturbed
) -> None:
    paused = call("train --workers 0 --images 20 --iterations 6 --stop-after 2 --json --name p")
    assert (paused.code, paused.values["status"]) == (0, "paused")
    assert paused.values["completed_iterations"] == 2
    resumed = call("train --resume p --workers 0 --json")
    assert (resumed.code, resumed.values["status"]) == (0, "completed")
    expected = undisturbed(run_config({"images": 20, "iterations": 6}))
    assert resumed.values["parameters_digest"] == expected.parameters
    assert resumed.values["history_digest"] == expected.history


def test_submit_queues_a_run_and_prints_its_id_alone(call: Call, found: History) -> None:
    called = call("submit --images 5 --name later")
    assert called.code == 0
    [run] = found.runs()
    assert called.out == f"{run.id}\n"
    assert (run.name, run.status.value) == ("later", "queued")
    assert f"tapeworks watch {run.id}" in called.err


def test_runs_lists_the_newest_first_for_people_and_programs(
    trained: dict[str, Any], call: Call
) -> None:
    call("submit --name second")
    values = call("runs --json").values
    assert [run["name"] for run in values] == ["second", "first"]
    assert [run["status"] for run in values] == ["queued", "completed"]
    assert [run["name"] for run in call("runs --json --limit 1").values] == ["second"]
    heading, *rows = call("runs").out.splitlines()
    assert heading.split()[:3] == ["RUN", "NAME", "STATUS"]
    assert [row.split()[1:4] for row in rows] == [
        ["second", "queued", "0/50"],
        ["first", "completed", "5/5"],
    ]


def test_without_any_run_a_hint_is_given(call: Call) -> None:
    assert call("db upgrade").code == 0
    assert "tapeworks train" in call("runs").err
    assert call("runs --json").values == []


def test_show_finds_a_run_by_id_by_prefix_and_by_name(trained: dict[str, Any], call: Call) -> None:
    for reference in (trained["id"], trained["id"][:12], "first"):
        assert call(f"show {reference} --json").values == trained


def test_show_tells_a_person_state_losses_and_digests(trained: dict[str, Any], call: Call) -> None:
    shown = call("show first").out
    for words in (
        trained["id"],
        "completed",
        "5 of 5",
        f"{trained['first_loss']:.4f} at first",
        f"{trained['final_loss']:.4f} at last",
        trained["parameters_digest"],
        trained["history_digest"],
        trained["fingerprint"],
        "held-out accuracy",
    ):
        assert words in shown


def test_show_events_tells_the_runs_story(trained: dict[str, Any], call: Call) -> None:
    kinds = [event["kind"] for event in call("show first --events --json").values]
    assert kinds == ["submitted", "claimed", "completed"]
    assert "submitted for 5 iterations" in call("show first --events").out


def test_show_ledger_names_worker_and_attempt_of_every_image(
    trained: dict[str, Any], call: Call
) -> None:
    lines = call("show first --ledger --json").values
    counted = [
        (line["iteration"], image)
        for line in lines
        for image in range(line["first_image"], line["first_image"] + line["image_count"])
    ]
    assert counted == [(iteration, image) for iteration in range(5) for image in range(20)]
    assert {(line["worker"], line["attempt"]) for line in lines} == {("in-process", 1)}
    assert len(call("show first --ledger").out.splitlines()) == 1 + len(lines)


def test_a_run_that_records_seldom_says_so_and_names_what_it_recorded(call: Call) -> None:
    trained = call(
        "train --workers 0 --images 20 --iterations 5 --record-images-every 3 --name seldom --json"
    ).values
    assert trained["recording_interval"] == 3
    times = {
        line["iteration"]: (line["seconds"], line["received_at"])
        for line in call("show seldom --ledger --json").values
    }
    recorded = [iteration for iteration, answer in times.items() if None not in answer]
    assert (sorted(times), recorded) == ([0, 1, 2, 3, 4], [0, 2, 4])
    rows = [line.split() for line in call("show seldom --ledger").out.splitlines()[1:]]
    assert all(row[-2:] == ["-", "-"] for row in rows if row[0] in {"1", "3"})
    for kind in ("hardest", "timeline"):
        refused = call(f"plot seldom --kind {kind} --iteration 3 --output a.png")
        assert refused.code == 3
        assert "The nearest iterations that it recorded in full: 2 and 4." in refused.err
        assert call(f"plot seldom --kind {kind} --output a.png").code == 0
    assert call("plot seldom --kind images --output a.png").code == 0
    assert call("replay seldom").out.startswith("5 iterations replayed, all the same bits")
    found = call(f"query --file {ROOT}/docs/exactly_once.sql --json").values
    assert {(row["fewest_times"], row["most_times"]) for row in found} == {(1, 1)}
    assert [row["iteration"] for row in found] == [0, 1, 2, 3, 4]


def test_watch_of_a_finished_run_tells_how_it_went(trained: dict[str, Any], call: Call) -> None:
    watched = call("watch first")
    assert watched.code == 0
    assert "iteration 5/5" in watched.err
    assert watched.last_words == f"Run {trained['id']} (first) is completed"


@pytest.mark.parametrize(("name", "begins"), [("a.png", PNG), ("b.svg", b"<?xml"), ("C.PNG", PNG)])
def test_plot_draws_one_or_several_runs_by_the_files_ending(
    name: str, begins: bytes, trained: dict[str, Any], call: Call
) -> None:
    call("train --workers 0 --images 10 --iterations 2 --name second")
    for runs in ("first", "first second"):
        drawn = call(f"plot {runs} --output {name}")
        assert (drawn.code, drawn.out) == (0, f"{Path(name).resolve()}\n")
        content = Path(name).read_bytes()
        assert content.startswith(begins)
        assert len(content) > 5000
    if begins != PNG:
        picture = content.decode()
        assert "first" in picture
        assert "second" in picture


def test_what_is_drawn_is_the_loss_history(trained: dict[str, Any], found: History) -> None:
    [line] = curves(found, [found.find_run("first")], Measure.LOSS).lines
    assert line.iterations == (0, 1, 2, 3, 4)
    assert list(line.values) == trained["losses"]
    assert line.label == "first"


def test_the_database_is_checked_and_upgraded(call: Call) -> None:
    for line in ("db upgrade", "db check", "db upgrade"):
        called = call(line)
        assert (called.code, "tapeworks:" in called.err) == (0, False)
        assert called.out.strip().endswith(f"is at revision {REVISION}")


def test_without_a_named_database_the_users_own_directory_holds_it(
    places: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAPEWORKS_DATABASE_URL")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert call("submit --name mine").code == 0
    [file] = (places / "home").rglob("*.db")
    assert file.parent.name == "tapeworks"


def test_workers_lists_those_that_are_alive(
    fleet: Fleet, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", fleet.redis_url)
    listed = call("workers --json").values
    assert {worker["pid"] for worker in listed} == fleet.process_ids()
    assert {worker["fingerprint"] for worker in listed} == {fleet.fingerprint()}
    assert all(worker["memory_mb"] > 10 for worker in listed)
    table = call("workers").out
    assert all(worker["name"] in table for worker in listed)


def test_a_machines_fingerprint_is_the_one_that_its_workers_register(
    fleet: Fleet, call: Call
) -> None:
    values = call("fingerprint --json").values
    parts = values["parts"]
    assert values["fingerprint"] == fleet.fingerprint()
    hashed = {name: parts[name] for name in ("own", "sums", "tensorflow", "flags", "threads")}
    hashed["golden"] = [parts["layerwise"], parts["full"]]
    text = json.dumps(hashed, sort_keys=True).encode()
    assert hashlib.sha256(text).hexdigest().startswith(values["fingerprint"])
    said = call("fingerprint")
    first, *rest = (line.split() for line in said.out.splitlines()[1:])
    assert first[:2] == ["fingerprint", fleet.fingerprint()]
    shown = [words[0] for words in rest if words]
    assert shown == [*parts, "MAY", *values["machine"]], "all parts, then what may differ"
    assert said.err == "Loading TensorFlow\nCompiling\n"


def test_without_any_worker_a_hint_is_given(
    call: Call, forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", forgotten)
    called = call("workers")
    assert (called.code, called.out) == (0, "")
    assert "tapeworks worker" in called.err


@pytest.fixture
def forgotten(shared_fleet: Fleet) -> str:
    """The URL of a Redis database that nobody uses."""
    return shared_fleet.redis_url.replace("db=0", "db=5")


#: Prints which of these are loaded after a command.
LOADED = """
import sys
from tapeworks.__main__ import run
code = run(sys.argv[1:])
heavy = {"tensorflow", "numpy", "pydantic", "celery", "kombu", "redis", "matplotlib", "sklearn",
         "alembic", "psutil", "rich", "safetensors", "h5py", "keras", "asyncio", "yaml"}
print(code, *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    process = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = process.stderr.splitlines()[-1].split()
    assert code == "0", process.stderr
    return set(modules)


def test_listing_and_watching_runs_loads_nothing_heavy(trained: dict[str, Any]) -> None:
    heavy = {"tensorflow", "numpy", "celery", "kombu", "matplotlib", "sklearn", "alembic"}
    listings = (
        ["runs"],
        ["runs", "--json"],
        ["runs", "--where", "seed = 1"],
        ["query", "SELECT 1"],
    )
    for line in (*listings, ["watch", "first"]):
        assert not loaded_by(*line) & heavy


def test_only_training_and_computing_load_tensorflow(trained: dict[str, Any]) -> None:
    lines = (
        ["show", "first", "--json"],
        ["submit", "--name", "second"],
        ["plot", "first"],
        ["compare", "first", "second"],
        ["export", "first"],
    )
    for line in lines:
        assert not loaded_by(*line) & {"tensorflow", "celery"}
