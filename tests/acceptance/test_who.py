"""The users who submit, change and delete runs: in listings, events and the log of deletions."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

import tapeworks
from tapeworks.storage.actors import LONGEST_NAME, Actor, acting, current_actor, own_actor
from tapeworks.web.acting import actor_of
from tests.support.calls import Call

SUBMIT = "submit --images 8 --iterations 1 --json"

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def ada(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This user is called Ada."""
    monkeypatch.setenv("LOGNAME", "ada")


def submit_as(user: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LOGNAME", user)
    run: dict[str, Any] = call(f"{SUBMIT} --name {user}s").values
    monkeypatch.setenv("LOGNAME", "ada")
    assert (run["submitter"], run["submitter_host"]) == (user, HOST)
    return str(run["id"])


def test_runs_have_their_submitter_and_ones_own_are_listed(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = submit_as("ada", call, monkeypatch)
    assert "BY" not in call("runs").out
    submit_as("bob", call, monkeypatch)
    heading, bobs, _ = call("runs").out.splitlines()
    assert heading.split()[-2:] == ["BY", "FROM"]
    assert bobs.split()[-2:] == ["bob", HOST]
    assert [run["id"] for run in call("runs --mine --json").values] == [mine]
    assert "submitted by" in call("show bobs").out
    with tapeworks.connect() as client:
        assert [run.id for run in client.runs(mine=True)] == [mine]


def test_runs_of_others_are_not_ended_unasked(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_as("ada", call, monkeypatch)
    bobs = submit_as("bob", call, monkeypatch)
    refused = call("cancel bobs adas")
    assert (refused.code, refused.out) == (2, "")
    assert f"{bobs} (bobs), of bob on {HOST}" in refused.err
    assert "confirm with --yes" in refused.last_words
    assert {run["status"] for run in call("runs --json").values} == {"queued"}
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for answer, code, status in ((False, 2, "queued"), (True, 0, "cancelled")):
        monkeypatch.setattr("click.confirm", lambda *_, answer=answer, **__: answer)
        assert call("cancel bobs").code == code
        assert call("show bobs --json").values["status"] == status
    assert call("cancel adas").code == 0


def test_events_and_deletions_say_who(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_as("bob", call, monkeypatch)
    for line in ("pause bobs", "resume bobs", "priority 3 bobs", "cancel bobs --yes"):
        assert call(line).code == 0
    with tapeworks.connect() as client, acting(Actor("eve", "elsewhere")):
        client.run("bobs").describe(note="mine", tags={"kind": "x"})
        client.run("bobs").describe(note="mine", tags={"kind": "x"})  # changes nothing
    told = call("show bobs --events --json").values
    assert [(one["kind"], one["actor"], one["actor_host"]) for one in told] == [
        ("submitted", "bob", HOST),
        *((kind, "ada", HOST) for kind in ("paused", "resumed", "priority", "cancelled")),
        ("note", "eve", "elsewhere"),
        ("tags", "eve", "elsewhere"),
    ]
    assert call("delete bobs --yes").code == 0
    [deleted] = call("query 'SELECT * FROM deletions' --json").values
    assert (deleted["name"], deleted["submitter"], deleted["actor"]) == ("bobs", "bob", "ada")
    assert call("query 'SELECT * FROM events' --json").values == []


def test_names_are_cleaned_and_one_without_a_name_has_a_number(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "e\x1b[31m\nvil\udcff" + 200 * "x")
    assert own_actor().user == ("e[31mvil" + 200 * "x")[:LONGEST_NAME]
    assert call(SUBMIT).code == 0

    def fail() -> str:
        raise OSError

    monkeypatch.setattr(getpass, "getuser", fail)
    assert own_actor().user.startswith("user ")


def test_the_page_notes_its_own_user_or_the_name_that_a_client_tells() -> None:
    assert actor_of(Headers()) == Actor("ada", f"{HOST} (web)")
    told = actor_of(Headers({"tapeworks-user": "bob\x00"}))
    assert told == Actor("bob", f"{HOST} (web, told by the client)")
    assert current_actor() == Actor("ada", HOST)
