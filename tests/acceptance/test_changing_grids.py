"""Runs of a grid changed, described and deleted by its name: all that is asked for, or nothing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.calls import Call
from tests.support.made_up import LEASE, submit

GRID = "submit --iterations 1 --images 20 --vary seed=1,2,3 --name"


@pytest.fixture
def stored(places: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """The history of the commands with a grid, heat, of three runs, which Bob has submitted."""
    monkeypatch.setenv("LOGNAME", "bob")
    assert call(f"{GRID} heat").code == 0
    monkeypatch.setenv("LOGNAME", "ada")
    history = History.open(places / "runs.db")
    yield history
    history.database.close()


def statuses(call: Call) -> list[str]:
    """Return the runs' statuses, the oldest run first."""
    return [run["status"] for run in reversed(call("runs --json").values)]


def finish(history: History, name: str) -> None:
    claim = history.claim(history.find_run(name).id, "alice", LEASE)
    history.finish(claim, RunStatus.COMPLETED)


def test_a_grid_is_changed_by_its_name_but_for_runs_that_have_ended(
    stored: History, call: Call
) -> None:
    paused = call("pause heat heat-2")
    assert [line.split()[-1] for line in paused.out.splitlines()] == 3 * ["paused"]
    assert call("priority 3 heat").out.count("priority 3") == 3
    assert len(call("resume heat --json").values) == 3
    finish(stored, "heat-2")
    cancelled = call("cancel heat --yes")
    assert cancelled.out.count("is cancelled") == 2
    assert cancelled.last_words == "1 of 3 runs of heat is left unchanged: 1 completed"
    refused = call("pause heat")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.count("already.") == 3
    assert refused.err.endswith("already. Nothing was changed.\n")
    assert call("delete heat --yes").out.count("\n") == 3
    assert call("delete heat --yes").code == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pause heat-1 heat-2", "is completed already. Nothing was changed."),
        ("cancel heat heat-2 --yes", "is completed already. Nothing was changed."),
        ("resume heat-3 heat-2", "Nothing was changed."),
        ("priority 3 heat-3 heat-2", "its priority has no use. Nothing was changed."),
        ("pause heat-3 nothing", "There is no run 'nothing'"),
        ("delete heat --yes", "is running; cancel it first. Nothing was removed."),
        ("delete heat-3 nothing --yes", "There is no run 'nothing'"),
        ("describe heat --untag kind", "Received: kind; no tag"),
        ("describe heat --tag a=1 --untag a", "Received: both of a"),
        ("describe heat", "To see a run: tapeworks show heat"),
        ("describe heat --name cold", "Expected one run to be called cold. Received: 3 runs"),
        ("describe heat-1 --name ' '", "Received: name=' '"),
        ("describe heat nothing --note x", "There is no run 'nothing'"),
        ("describe heat --tag a=1 --tag 'b c=2'", "Expected tags key=value"),
    ],
)
def test_a_call_that_cannot_be_done_changes_nothing(
    line: str, words: str, stored: History, call: Call
) -> None:
    finish(stored, "heat-2")
    if line.startswith("delete heat "):
        stored.claim(stored.find_run("heat-3").id, "alice", LEASE)
    before = call("runs --json").values
    refused = call(line)
    assert refused.code in {2, 3}
    assert refused.out == ""
    assert words in refused.last_words
    assert call("runs --json").values == before


def test_runs_of_others_are_asked_about_once_with_their_number(
    stored: History, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("submit --iterations 1 --images 20 --name own")
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    cancelled = call("cancel heat-1 own")
    assert "This ends for good 1 run of others: 1 of bob on " in cancelled.err
    cancelled = call("cancel heat")
    assert "This ends for good 2 runs of others: 2 of bob on " in cancelled.err
    deleted = call("delete own heat")
    assert "This removes for good 4 runs: 3 of bob on " in deleted.err
    assert asked == ["Cancel?", "Cancel?", "Remove?"]
    assert statuses(call) == []


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", ["images", "show", "retry", "evaluate", "replay"])
def test_a_grid_where_one_run_is_expected_is_answered_with_its_runs(name: str, call: Call) -> None:
    refused = call(f"{name} heat")
    assert (refused.code, refused.out) == (3, "")
    assert "It is the name of a grid; expected one run" in refused.last_words
    assert refused.last_words.endswith(": heat-1, heat-2, heat-3")


@pytest.mark.parametrize(
    ("line", "outcome"),
    [("cancel heat", "Nothing was cancelled."), ("delete heat", "Nothing was removed.")],
)
@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
@pytest.mark.usefixtures("stored")
def test_a_no_changes_nothing_and_is_no_interrupt(
    line: str, outcome: str, answer: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typed)
    refused = call(line)
    assert (refused.code, refused.out) == (2, "")
    assert refused.last_words.endswith(f"tapeworks: {outcome}")
    assert len(statuses(call)) == 3
    assert "cancelled" not in statuses(call)


def test_a_run_that_is_called_so_goes_before_the_grid(stored: History, call: Call) -> None:
    call("submit --iterations 1 --images 20 --name heat")
    assert call("pause heat").code == 0
    assert statuses(call) == ["queued", "queued", "queued", "paused"]


def test_a_run_and_the_one_that_goes_on_from_it_are_deleted_together(
    stored: History, call: Call
) -> None:
    old = stored.find_run("heat-1")
    goes_on = {"parent_id": old.id, "parent_iterations": 1}
    submit(stored, name="new", **goes_on, configuration=old.configuration | {"patience": 1})
    refused = call("delete heat-2 heat-1 --yes")
    assert (refused.code, refused.out) == (2, "")
    assert "goes on from it" in refused.last_words
    assert call("delete heat-1 new --yes").code == 0
    assert len(statuses(call)) == 2


def test_notes_and_tags_are_changed(stored: History, call: Call) -> None:
    assert call("describe heat --tag kind=grid --tag night=monday --note 'look again'").code == 0
    described = call("describe heat-1 heat-2 --tag night=friday --untag kind --note ''")
    assert described.out.splitlines() == [
        f"Run {stored.find_run(name).id} ({name}) has tags: night=friday; no note"
        for name in ("heat-1", "heat-2")
    ]
    assert (
        call("describe heat-1 --name cold").out
        == described.out.splitlines()[0].replace("heat-1", "cold") + "\n"
    )
    assert call("describe cold heat-2 --name ''").code == 0
    assert {run["name"] for run in call("runs --json").values} == {None, "heat-3"}
    [last] = call("describe heat-3 --untag night --json").values
    assert (last["tags"], last["note"]) == ({"kind": "grid"}, "look again")
    call("describe heat-3 --tag kind=grid --note 'look again'")  # changes nothing
    told = call("show heat-3 --events --json").values
    assert [(one["kind"], one["actor"]) for one in told] == [
        ("submitted", "bob"),
        ("tags", "ada"),
        ("note", "ada"),
        ("tags", "ada"),
    ]
