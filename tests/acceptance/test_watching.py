"""Several runs are watched at once: by their ids, a grid's name or a tag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tapeworks.storage.actors import own_actor
from tapeworks.storage.history import History
from tapeworks.storage.records import RunStatus
from tests.support.calls import Call
from tests.support.made_up import LEASE, commit
from tests.support.processes import Start
from tests.support.stories import evaluated
from tests.support.waiting import until

GRID = "submit --iterations 1 --images 20 --vary seed=1,2 --tag kind=grid --name"


@pytest.fixture
def stored(places: Path) -> Iterator[History]:
    """The history that the commands use."""
    history = History.open(places / "runs.db")
    yield history
    history.database.close()


def end(
    history: History, name: str, accuracy: float, status: RunStatus = RunStatus.COMPLETED
) -> None:
    claim = history.claim(history.find_run(name).id, "alice", LEASE)
    commit(history, claim)
    history.record_evaluation(claim, replace(evaluated(1, 3.0, accuracy), run_id=claim.run_id))
    history.finish(claim, status, "it was too warm" if status is RunStatus.FAILED else None)


def test_a_grid_is_watched_by_its_name_and_the_best_of_it_is_named(
    stored: History, call: Call
) -> None:
    for _ in range(2):
        assert call(f"{GRID} heat").err == "Queued 2 runs. Follow them with: tapeworks watch heat\n"
    end(stored, "heat-1", 0.75)
    end(stored, "heat-2", 0.5)
    watched = call("watch heat")
    assert watched.code == 0
    assert watched.err.startswith("2 runs: 2 completed\n"), "the older grid is none of it"
    assert "heat-1 (best so far): iteration 1/1  loss 34.0000, sum over 20 images" in watched.err
    assert watched.last_words.startswith("Best accuracy on held-out images: 75.0%, run ")
    assert watched.last_words.endswith("(heat-1), seed=1")


def test_one_failure_of_several_is_the_exit_code_and_stands_with_its_reason(
    stored: History, call: Call
) -> None:
    call(f"{GRID} heat")
    end(stored, "heat-1", 0.75, RunStatus.FAILED)
    end(stored, "heat-2", 0.5)
    watched = call("watch heat-2 heat-1")
    assert watched.code == 1
    assert "(heat-1) is failed, loss 34.0000, accuracy 75.0% on held-out" in watched.err
    assert ": it was too warm\n" in watched.err
    assert "(heat-2), seed=2" in watched.last_words, "a failed run is not the best"
    assert call("watch heat-2 nothing").code == 3
    assert call("watch --tag kind=none").code == 3
    assert call("watch").code == 2


def test_runs_of_a_tag_join_while_it_is_watched_and_ctrl_c_touches_none(
    stored: History, call: Call, start: Start
) -> None:
    call(f"{GRID} heat")
    watcher, interrupted = start("watch", "--tag", "kind=grid"), start("watch", "heat")
    until(lambda: interrupted.says("2 runs: 2 queued"), "it watches")
    interrupted.interrupt()
    assert interrupted.ended() == 130
    assert interrupted.err.splitlines()[-1] == "tapeworks: interrupted"
    until(lambda: watcher.says("2 runs: 2 queued"), "it watches")
    call("submit --iterations 1 --images 20 --tag kind=grid --name late")
    for name in ("heat-1", "heat-2"):
        end(stored, name, 0.5)
    until(lambda: watcher.says("(heat-2) is completed"), "it sees the end of these")
    assert watcher.process.poll() is None, "one run is still queued"
    call("cancel late")
    assert watcher.ended() == 1
    assert "(late) is cancelled" in watcher.err
    assert "Traceback" not in watcher.err + interrupted.err


def test_ones_own_runs_are_watched_until_the_last_has_ended(
    stored: History, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    call(f"{GRID} bobs")
    monkeypatch.setenv("LOGNAME", "ada")
    assert "no run of yours that has not ended" in call("watch --mine").last_words
    assert "no run of yours with the tag kind=grid" in call("watch --mine --tag kind=grid").err
    call(f"{GRID} heat")
    end(stored, "heat-1", 0.75)

    def finish(_: float) -> None:
        end(stored, "heat-2", 0.5)

    monkeypatch.setattr("tapeworks.cli.commands.watch.is_unread", lambda _: False)
    monkeypatch.setattr("tapeworks.cli.commands.watch.time.sleep", finish)
    watched = call("watch --mine")
    assert watched.code == 0
    assert watched.err.startswith("1 run: 1 queued\n")
    assert "(heat-2) is completed" in watched.err
    watched = call("watch --mine --tag kind=grid")
    assert watched.err.startswith("2 runs: 2 completed\n")


def test_a_run_that_is_over_shows_its_last_iteration_and_who_ended_it(
    stored: History, call: Call
) -> None:
    assert call("train --workers 0 --images 20 --iterations 9 --stop-after 4 --name it").code == 0
    lines = call("watch it").err.splitlines()
    assert [line.partition("  ")[0] for line in lines[:-1]] == ["iteration 4/9"]
    assert call("cancel it").code == 0
    assert f"cancelled by {own_actor().user}: cancelled on request" in call("show it").out
    assert call(f"runs --submitter {own_actor().user} --columns name").out.split() == ["name", "it"]
    assert "No run is like that" in call("runs --submitter nobody-here").err
