"""The Python client does what the command line does, from a program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tapeworks
from tapeworks.storage.errors import QueryError, RunNotFound, StateConflict
from tests.support.calls import Call
from tests.support.fleet import Fleet
from tests.support.processes import ROOT, Start
from tests.support.waiting import DEADLINE_SECONDS

CONFIG = tapeworks.RunConfig(
    images=8, iterations=6, image_side=6, kernel_sizes=(3,), filters=1, learning_rate=0.01, seed=7
)


@pytest.fixture
def client(
    places: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tapeworks.Client]:
    """A client of an empty database, beside two workers."""
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", fleet.redis_url)
    with tapeworks.connect() as client:
        yield client


def test_a_run_is_submitted_waited_for_and_read(
    client: tapeworks.Client, start: Start, call: Call
) -> None:
    start("scheduler")
    run = client.submit(CONFIG, name="mine", tags={"kind": "test"}, note="by program", priority=2)
    assert run.wait(DEADLINE_SECONDS).status is tapeworks.RunStatus.COMPLETED
    assert (run.tags, run.record.note, run.record.priority) == ({"kind": "test"}, "by program", 2)
    assert run.config.learning_rate == CONFIG.learning_rate

    shown = call("show mine --json").values
    history = run.history()
    assert history["loss"].tolist() == shown["losses"]
    assert history["iteration"].tolist() == list(range(6))
    assert run.ledger()["image_count"].sum() == 6 * 8
    assert run.workers()["images"].sum() == 6 * 8
    assert run.events()["kind"].tolist()[0] == "submitted"
    assert run.evaluations().empty
    last = run.images(5)
    assert float(np.sum(last["loss"].to_numpy(np.float64))) == shown["final_loss"]
    assert last["image"].tolist() == list(range(8))
    assert set(run.parameters()) == {"conv_1", "dense_1"}
    first, newest = run.parameters(0), run.parameters()
    assert not np.array_equal(first["conv_1"], newest["conv_1"])
    assert client.run("mine").id == run.id

    again = run.retry(after=3, name="again").wait(DEADLINE_SECONDS)
    assert again.record.parameters_digest == run.record.parameters_digest


def test_what_is_wished_of_runs(client: tapeworks.Client) -> None:
    runs = client.submit_grid(CONFIG, {"seed": [1, 2], "filters": [1, 2]}, name="g", paused=True)
    combinations = [(run.config.seed, run.config.filters) for run in runs]
    assert combinations == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [run.name for run in runs] == ["g-1", "g-2", "g-3", "g-4"]
    run = runs[0]
    assert run.resume().status is tapeworks.RunStatus.QUEUED
    assert run.pause("later").record.reason == "later"
    assert run.set_priority(4).record.priority == 4
    assert run.cancel().status is tapeworks.RunStatus.CANCELLED
    assert run.wait(0).status is tapeworks.RunStatus.CANCELLED
    with pytest.raises(StateConflict):
        run.resume()
    run.delete()
    with pytest.raises(RunNotFound):
        client.run(run.id)


def test_runs_are_found_and_anything_is_asked_in_sql(client: tapeworks.Client) -> None:
    first, second = client.submit_grid(CONFIG, {"seed": [1, 2]}, name="g", tags={"kind": "grid"})
    other = client.submit(CONFIG, name="other", paused=True)
    assert [run.id for run in client.runs()] == [other.id, second.id, first.id]
    assert [run.name for run in client.runs(tags={"kind": "grid"}, descending=False)] == [
        "g-1",
        "g-2",
    ]
    [paused] = client.runs(status=[tapeworks.RunStatus.PAUSED], where="seed = 7")
    assert paused.id == other.id
    table = client.query("SELECT name, seed FROM runs ORDER BY seed")
    assert table.to_dict("list") == {"name": ["g-1", "g-2", "other"], "seed": [1, 2, 7]}
    with pytest.raises(QueryError, match="read-only"):
        client.query("DELETE FROM runs")


def test_a_run_is_shown_in_a_line_and_in_a_notebook(client: tapeworks.Client) -> None:
    run = client.submit(CONFIG, name="mine", tags={"kind": "<b>&'"}).cancel("<script>x</script>")
    assert repr(run) == f"<Run {run.id} 'mine' cancelled 0/6>"
    shown = run._repr_html_()
    assert "kind=&lt;b&gt;&amp;&#x27;" in shown
    assert "cancelled: &lt;script&gt;" in shown
    assert not {"<b>", "<script>"} & set(re.findall("<[a-z]+>", shown))


def test_waiting_ends_at_the_time_that_was_given(client: tapeworks.Client) -> None:
    run = client.submit(CONFIG)
    with pytest.raises(TimeoutError, match=f"Run {run.id} is queued after 0 seconds"):
        run.wait(0)


def test_the_documented_programs_run(
    client: tapeworks.Client, start: Start, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    document = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", document, re.DOTALL)
    assert len(examples) == document.count("```python")
    start("scheduler")
    for program, shown in examples:
        exec(compile(program, "python.md", "exec"), {})
        told = capsys.readouterr().out
        assert [len(line.split()) for line in told.splitlines()] == [
            len(line.split()) for line in shown.splitlines()
        ]
        assert told.splitlines()[-1] == shown.splitlines()[-1]
        assert "completed 20/20" in told or "completed" not in shown
    here = client.run("here")
    assert call("train --iterations 20 --test-images 100 --workers 0 --name there").code == 0
    assert here.record.parameters_digest == client.run("there").record.parameters_digest


def test_every_method_is_documented() -> None:
    document = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for kind in (tapeworks.Client, tapeworks.Run):
        names = [name for name in vars(kind) if not name.startswith("_")]
        undocumented = [name for name in names if f"`{name}" not in document]
        assert undocumented in ([], ["database"])


def test_importing_it_loads_nothing_heavy() -> None:
    script = "import sys, json, tapeworks; dir(tapeworks); print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {"tensorflow", "pandas", "numpy", "sqlalchemy"}.isdisjoint(json.loads(out))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tapeworks.nothing  # type: ignore[attr-defined]


def test_a_heavy_name_is_listed_and_there_when_it_is_used() -> None:
    listed = [name for name in dir(tapeworks) if not name.startswith("_")]
    assert listed == sorted(tapeworks.__all__)
    assert all(getattr(tapeworks, name) is not None for name in listed)
