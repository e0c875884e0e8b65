"""The web page while its database cannot be used, and afterwards."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tapeworks.storage.connection import engines
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tests.support.made_up import submit
from tests.support.postgres import PostgresServer, new_database
from tests.support.web import client_of

#: Said of a form that was sent meanwhile.
UNSURE = "done as a whole or not at all"


def test_a_file_that_is_away_is_told_never_made_anew_and_read_again(
    client: TestClient, history: History, tmp_path: Path
) -> None:
    run = submit(history)
    pages = ["/runs", f"/runs/{run.id}", "/workers", "/sql?q=SELECT+id+FROM+runs", "/curves?run=x"]
    assert client.get("/runs").status_code == 200
    file, elsewhere = tmp_path / "runs.db", tmp_path / "elsewhere.db"
    file.rename(elsewhere)
    for path in pages:
        answer = client.get(path)
        assert (answer.status_code, 'data-problem="outage"' in answer.text) == (503, True), path
        assert f"There is no database at sqlite:///{file}. Name another, put its" in answer.text
    program = client.get("/api/v1/runs")
    assert (program.status_code, program.json()["error"]) == (503, "DatabaseMissing")
    form = client.post(f"/runs/{run.id}/priority", data={"priority": "3"})
    assert (form.status_code, 'data-problem="unsure"' in form.text) == (503, True)
    assert UNSURE in form.text
    assert client.get("/login").status_code == 303, "it needs no database"
    assert not file.exists()
    elsewhere.rename(file)
    assert [client.get(path).status_code for path in pages[:4]] == [200] * 4
    assert history.find_run(run.id).priority == 0


def test_a_file_that_was_put_in_the_place_of_another_is_shown(
    client: TestClient, history: History, tmp_path: Path
) -> None:
    submit(history, name="early-one")
    history.database.copy_to(tmp_path / "copy.db")
    submit(history, name="later-one")
    assert "later-one" in client.get("/runs").text
    for ending in ("-wal", "-shm"):
        (tmp_path / f"runs.db{ending}").unlink()
    (tmp_path / "copy.db").rename(tmp_path / "runs.db")
    for path in ("/runs", "/sql?q=SELECT+name+FROM+runs"):
        shown = client.get(path).text
        assert ("early-one" in shown, "later-one" in shown) == (True, False), path


def test_a_locked_file_is_read_and_a_form_says_that_it_is_locked(
    client: TestClient, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 20)
    run = submit(history)
    history.database.close()
    with closing(sqlite3.connect(tmp_path / "runs.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.get(f"/runs/{run.id}").status_code == 200
        form = client.post(f"/runs/{run.id}/pause")
        assert form.status_code == 503
        assert "Another program keeps it locked; end that program or try again" in form.text
        assert UNSURE in form.text
    assert client.post(f"/runs/{run.id}/pause").status_code == 303


def test_the_first_request_after_a_restart_of_the_server_is_answered(
    postgres: PostgresServer,
) -> None:
    with new_database(postgres.url(), "restarted") as url:
        history = History(Database(url))
        history.database.upgrade()
        run = submit(history)
        with client_of(history) as client:
            paths = ["/runs", f"/runs/{run.id}", "/workers", "/api/v1/runs"]
            for path in paths:
                assert client.get(path).status_code == 200
            postgres.kill()
            for path in paths:
                answer = client.get(path)
                assert answer.status_code == 503
                assert "Cannot use the database" in answer.text
            postgres.start()
            for path in paths:
                assert client.get(path).status_code == 200
            postgres.kill()
            postgres.start()
            assert client.post(f"/runs/{run.id}/pause").status_code == 303
        history.database.close()
