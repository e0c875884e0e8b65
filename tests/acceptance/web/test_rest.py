"""REST of a real server: the documented commands, and the Python client over it."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

import tapeworks
from tapeworks.client.remote import RemoteClient, RemoteHistory, RemoteRun
from tapeworks.client.web_requests import ATTEMPTS, Connection
from tapeworks.errors import InvalidValue, UsageError, WebUnreachable
from tapeworks.model.errors import ConfigurationError, NetworkNotAllowed
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tapeworks.storage.errors import (
    CheckpointNotFound,
    IterationNotFound,
    QueryError,
    QueryTooLarge,
    RunNotFound,
    StateConflict,
    SubmissionKeyReused,
)
from tapeworks.storage.history import History
from tapeworks.storage.run_queue import Queue
from tests.support.calls import Call
from tests.support.documents import shell_lines
from tests.support.made_up import commit, submit, submit_and_claim
from tests.support.processes import ROOT, Start
from tests.support.training import database, drive
from tests.support.web import Served, serve

CONFIG = tapeworks.RunConfig(images=8, iterations=6, image_side=6, kernel_sizes=(3,), filters=1)

ADDRESS = "http://127.0.0.1:8470"

TOKEN = "a-token-of-many-characters"


@pytest.fixture
def stored(places: Path) -> Iterator[History]:
    """The history that the server shows, itself."""
    history = database(places)
    yield history
    history.database.close()


@pytest.fixture
def served(stored: History, start: Start) -> Served:
    return serve(start)


@pytest.fixture
def client(served: Served) -> Iterator[tapeworks.Client]:
    with tapeworks.connect(served.address) as client:
        yield client


@pytest.mark.slow
def test_the_documented_commands_work(places: Path, stored: History, served: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("There is no curl.")
    lines = shell_lines((ROOT / "docs" / "rest.md").read_text(encoding="utf-8"))
    assert len(lines) == 26
    for line in lines:
        if "iterations?limit" in line:  # from here on, of a run that has ended
            drive(stored, LocalDispatcher(), stored.find_run("first"))
        command = line.replace(ADDRESS, served.address)
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=places)
        assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
        if "If-None-Match" in line:
            assert json.loads(ran.stdout) == {"status": 304}
        elif "DELETE" not in line and "-o" not in line:
            assert json.loads(ran.stdout)
    assert stored.find_run("first").status is tapeworks.RunStatus.COMPLETED
    assert (places / "first.safetensors").stat().st_size > 1000


def test_a_client_reads_what_is_stored(client: tapeworks.Client, stored: History) -> None:
    claim = submit_and_claim(stored)
    for number in range(3):
        commit(stored, claim, number)
    run = client.run(claim.run_id)
    with tapeworks.connect(stored.database.file) as direct:
        same = direct.run(claim.run_id)
        assert run.record == same.record
        for name in ("history", "ledger", "workers", "events", "evaluations"):
            told, expected = getattr(run, name)(), getattr(same, name)()
            assert told.equals(expected), name
        assert run.ledger(1).equals(same.ledger(1))
        assert run.images(2).equals(same.images(2))
    with pytest.raises(IterationNotFound, match="has no iteration 9; it is running after 3 of 3"):
        run.images(9)
    with pytest.raises(CheckpointNotFound):
        run.parameters(9)


def test_a_client_lists_the_hardest_images(
    client: tapeworks.Client, stored: History, served: Served
) -> None:
    claim = submit_and_claim(stored)
    run = client.run(claim.run_id)
    with pytest.raises(UsageError, match="no iteration yet"):
        run.images()
    for number in range(2):
        commit(stored, claim, number)
    with tapeworks.connect(stored.database.file) as direct:
        same = direct.run(claim.run_id)
        whole = same.images()
        assert len(whole) > 3
        assert run.images().equals(whole)
        assert run.images(limit=3).equals(whole[:3])
        assert run.images(by="mean").equals(same.images(by="mean"))
    path = f"{served.address}/api/v1/runs/{run.id}/images"
    pages = [httpx2.get(path, params={"limit": 3}).json()]
    commit(stored, claim, 2)
    while cursor := pages[-1]["next_cursor"]:
        pages.append(httpx2.get(path, params={"limit": 3, "cursor": cursor}).json())
    listed = [one for page in pages for one in page["items"]]
    for name in ("image", "loss"):
        assert [one[name] for one in listed] == list(whole[name]), "of one moment, as the first is"
    refused = httpx2.get(path, params={"by": "mean", "iteration": 1})
    assert refused.status_code == 422
    assert "leave out one of them" in refused.json()["detail"]


def test_a_client_waits_for_a_queued_run(client: tapeworks.Client, stored: History) -> None:
    run = client.submit(CONFIG, name="waits")
    with pytest.raises(TimeoutError, match="is queued after 0 seconds"):
        run.wait(0)
    drive(stored, LocalDispatcher(), stored.find_run(run.id))
    assert run.wait(0).status is tapeworks.RunStatus.COMPLETED


def test_a_client_changes_runs(client: tapeworks.Client, stored: History) -> None:
    runs = client.submit_grid(
        CONFIG, {"seed": np.arange(1, 3)}, name="g", tags={"fold": 3}, note="why", priority=2
    )
    assert [run.name for run in runs] == ["g-1", "g-2"]
    run = runs[0]
    assert (run.config.seed, run.tags, run.record.note) == (1, {"fold": "3"}, "why")
    assert run.record == stored.find_run(run.id)
    assert run.pause("later").record.reason == "later"
    assert run.resume().status is tapeworks.RunStatus.QUEUED
    assert run.set_priority(4).record.priority == 4
    assert run.describe(note="because").tags == {"fold": "3"}
    assert run.describe(tags={"a": 1}).record.note == "because"
    assert run.tags == {"a": "1"}
    assert run.describe(name="b").name == "b"
    assert run.describe(name="g-1").record.note == "because"
    with pytest.raises(InvalidValue, match="Expected one of name, tags, note"):
        run.describe(priority=1)  # type: ignore[call-arg]
    again = run.retry(changes={"learning_rate": np.float64(0.5)}, name="again", note=None)
    assert (again.config.learning_rate, again.record.note) == (0.5, None)
    assert set(again.parameters()) == {"conv_1", "dense_1"}
    assert run.cancel().wait(0).status is tapeworks.RunStatus.CANCELLED
    with pytest.raises(StateConflict, match="only a paused one is resumed"):
        run.resume()
    run.delete()
    with pytest.raises(RunNotFound):
        run.refresh()
    single = client.submit(CONFIG, paused=True)
    assert single.status is tapeworks.RunStatus.PAUSED


@pytest.mark.parametrize(
    ("remote", "direct"), [(RemoteClient, tapeworks.Client), (RemoteRun, tapeworks.Run)]
)
def test_a_client_has_the_same_methods(remote: type, direct: type) -> None:
    names = [name for name in dir(direct) if not name.startswith("_")]
    assert [name for name in dir(remote) if not name.startswith("_")] == names
    assert "describe" in names or "submit_grid" in names
    for name in names:
        given, expected = getattr(remote, name), getattr(direct, name)
        assert isinstance(given, property) == isinstance(expected, property)
        if not isinstance(given, property):
            assert inspect.signature(given) == inspect.signature(expected), name


def test_a_client_asks_the_page_as_it_asks_the_history() -> None:
    for name, given in inspect.getmembers(RemoteHistory, inspect.isfunction):
        if not name.startswith("_"):
            expected = getattr(History, name, None) or getattr(Queue, name)
            told, asked = inspect.signature(given), inspect.signature(expected)
            assert told.parameters == asked.parameters, name
            assert name == "release_abandoned" or told == asked, name


def test_a_client_finds_runs(client: tapeworks.Client, stored: History) -> None:
    for number in range(4):
        submit(stored, name=f"n{number}", priority=number % 2, tags={"k": str(number % 2)})
    assert [run.name for run in client.runs()] == ["n3", "n2", "n1", "n0"]
    assert [run.name for run in client.runs(limit=3)] == ["n3", "n2", "n1"]
    assert [run.name for run in client.runs(tags={"k": 1}, descending=False)] == ["n1", "n3"]
    assert [run.name for run in client.runs(where="name = 'n2'", status="queued")] == ["n2"]
    assert client.runs(since="2999-01-01") == []
    table = client.query("SELECT name FROM runs ORDER BY name LIMIT 2")
    assert table.to_dict("list") == {"name": ["n0", "n1"]}


def test_a_client_is_refused_in_the_same_sentences(client: tapeworks.Client) -> None:
    with pytest.raises(RunNotFound, match="There is no run 'a/b'"):
        client.run("a/b")
    with pytest.raises(RunNotFound):
        client.run("")
    with pytest.raises(QueryError, match="read-only"):
        client.query("DELETE FROM runs")
    with pytest.raises(QueryTooLarge, match="more than 10000 rows"):
        client.query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10001) "
            "SELECT i FROM n"
        )
    with pytest.raises(NetworkNotAllowed, match="not taken over HTTP"):
        client.submit(tapeworks.RunConfig(network="x.py"))
    with pytest.raises(ConfigurationError, match="Expected an absolute path"):
        client.submit(tapeworks.RunConfig(dataset="x.npz"))
    with pytest.raises(UsageError, match="Initial parameters are not sent"):
        client.submit(CONFIG, init_from="x.safetensors")
    with pytest.raises(InvalidValue, match="Expected numbers, text"):
        client.submit(CONFIG, name=object())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="has no database"):
        _ = client.database


@pytest.mark.slow
def test_a_users_network_is_retried_as_long_as_its_code_need_not_run(
    client: tapeworks.Client, stored: History, call: Call
) -> None:
    example = ROOT / "examples" / "mlp.py"
    own = f"--network {example} --dataset breast_cancer --images 40 --iterations 3"
    assert call(f"submit {own} --name own").code == 0
    run = client.run("own")
    longer = run.retry(changes={"iterations": 5, "learning_rate": 0.5})
    assert longer.record.network_digest == run.record.network_digest
    assert longer.record.parameters_digest == run.record.parameters_digest
    before = stored.runs()
    for changes in ({"seed": 2}, {"network": str(example)}, {"network": "built-in"}):
        with pytest.raises(NetworkNotAllowed, match="code is neither taken nor run over HTTP"):
            run.retry(changes=changes)
    assert stored.runs() == before


def test_a_token_is_sent(stored: History, places: Path, start: Start) -> None:
    (places / "token").write_text(f"{TOKEN}\n")
    served = serve(start, "--token-file", "token")
    with tapeworks.connect(served.address, token=TOKEN) as client:
        assert client.runs() == []
    with tapeworks.connect(served.address, token=TOKEN[1:]) as client, pytest.raises(UsageError):
        client.runs()
    with pytest.raises(UsageError, match=r'connect\("http://127.0.0.1:8470"\)'):
        tapeworks.connect("127.0.0.1:8470")
    with pytest.raises(UsageError, match="A token is for the address"):
        tapeworks.connect(token=TOKEN)


def test_what_is_no_page_is_told(tmp_path: Path) -> None:
    with (
        tapeworks.connect("http://127.0.0.1:1") as client,
        pytest.raises(WebUnreachable, match="Cannot ask the web page at"),
    ):
        client.runs()


def test_a_lost_answer_adds_no_run(
    client: tapeworks.Client, stored: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2

    sent: list[str] = []
    request = httpx2.Client.request

    def lose_answers(self: httpx2.Client, method: str, url: str, **more: object) -> object:
        answer = request(self, method, url, **more)  # type: ignore[arg-type]
        sent.append(method)
        if len(sent) < ATTEMPTS:
            raise httpx2.ReadError("lost")
        return answer

    monkeypatch.setattr(httpx2.Client, "request", lose_answers)
    run = client.submit(CONFIG, name="once")
    assert sent == ["POST"] * ATTEMPTS
    assert [one.id for one in stored.runs()] == [run.id]


def test_a_key_of_another_request_is_told(served: Served) -> None:
    connection = Connection(served.address, None)
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    connection.ask("POST", "/runs", content="{}", headers=headers)
    with pytest.raises(SubmissionKeyReused):
        connection.ask("POST", "/runs", content='{"name": "a"}', headers=headers)
    connection.close()
