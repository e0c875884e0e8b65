"""`tapeworks web` as a process: what it prints, whom it lets in, and how it ends."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest

from tapeworks.cli.commands import web
from tests.support.calls import Call
from tests.support.made_up import submit
from tests.support.processes import Start, all_gone
from tests.support.training import database
from tests.support.waiting import until
from tests.support.web import Served, serve

#: What SQLite computes for longer than any query may take.
ENDLESS = (
    "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted) "
    "SELECT max(n) FROM counted"
)


@pytest.fixture(autouse=True)
def made(places: Path) -> None:
    """A database without a run."""
    database(places).database.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("a-token-of-many-characters\n")
    return file


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(places: Path, start: Start, number: signal.Signals) -> None:
    served = serve(start)
    with httpx2.Client() as client:
        assert client.get(f"{served.address}/runs").status_code == 200
        served.process.process.send_signal(number)
        assert served.process.ended() == 130
    assert served.process.err.splitlines()[-1] == "Web page stopped"
    assert "Traceback" not in served.process.err


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_second_signal_does_not_wait_for_a_query(
    places: Path, start: Start, kind: str, request: pytest.FixtureRequest
) -> None:
    variables, sql = {}, ENDLESS
    if kind == "postgresql":
        variables = {"TAPEWORKS_DATABASE_URL": request.getfixturevalue("postgres_url")}
        sql = "SELECT pg_sleep(29)"
        assert start("db", "upgrade", **variables).ended() == 0
    served = serve(start, **variables)
    with httpx2.Client(timeout=60) as client, ThreadPoolExecutor() as pool:
        assert client.get(f"{served.address}/runs").status_code == 200  # and is kept open
        query = f"{served.address}/api/v1/query"
        asked = pool.submit(httpx2.post, query, json={"sql": sql}, timeout=60)
        until(lambda: is_asked(served, variables), "the query is being answered")
        served.process.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(served), "it is being stopped")
        assert served.process.process.poll() is None
        served.process.interrupt()
        assert served.process.ended() == 130
        assert asked.result().status_code == 503
        assert asked.result().json()["detail"].startswith("This web page is being stopped")
    assert served.process.err.splitlines()[1:] == ["Web page stopped"]
    all_gone(served.process)
    assert not is_asked(served, variables)


def is_asked(served: Served, variables: dict[str, str]) -> bool:
    """Check that the query is computed, by a process or by the server."""
    if not variables:
        return bool(served.process.left_behind())
    with psycopg.connect(variables["TAPEWORKS_DATABASE_URL"]) as connection:
        active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND state = 'active'"
        [count] = connection.execute(active, ["FETCH%"]).fetchone() or [0]
    return bool(count)


def accepts(served: Served) -> bool:
    try:
        httpx2.get(f"{served.address}/login")
    except httpx2.TransportError:
        return False
    return True


def test_a_token_of_a_file_is_asked_for_and_never_written(
    places: Path, start: Start, token_file: Path
) -> None:
    served = serve(start, "--token-file", str(token_file))
    token = token_file.read_text().strip()
    api = f"{served.address}/api/v1/openapi.json"
    with httpx2.Client() as client:
        assert client.get(api).status_code == 401
        assert client.get(api, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get(f"{served.address}/runs?{token}").status_code == 303
    served.process.interrupt()
    assert served.process.ended() == 130
    assert token not in served.process.out + served.process.err


def test_a_token_is_made_where_others_reach_the_page(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(web, "is_loopback", lambda _: False)
    monkeypatch.setattr(web, "serve", lambda app, _: seen.append(app.state.site.options))
    called = call("web --port 0")
    [options] = seen
    assert len(options.token) >= 43
    assert called.out.strip().endswith(f"/login#token={options.token}")
    assert options.token not in called.err
    assert options.token not in repr(options)
    assert "Whoever has this link may use it" in called.err


def test_a_page_that_only_reads_does_not_write(places: Path, start: Start) -> None:
    history = database(places)
    run = submit(history)
    history.claim(run.id, "nobody:1:2", -1.0)
    served = serve(start, "--read-only", TAPEWORKS_DATABASE_URL=str(places / "runs.db"))
    with httpx2.Client() as client:
        assert "running" in client.get(f"{served.address}/runs").text
        refused = client.post(f"{served.address}/api/v1/runs/{run.id}/pause")
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("This web page only reads.")
    history.database.close()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--host 300.1.2.3", 2, "The web page cannot be served at 300.1.2.3 port 8470: "),
        ("--port 65536", 2, "65536"),
        ("--token-file nowhere", 2, "Expected a file with a token in one line."),
        ("--token-file short", 2, "Expected a token of 16 characters"),
    ],
)
def test_what_cannot_work_is_told_in_a_sentence(
    call: Call, places: Path, options: str, code: int, words: str
) -> None:
    (places / "short").write_text("short\n")
    called = call(f"web {options}")
    assert (called.code, called.out) == (code, "")
    assert words in called.err
    assert called.err.count("\n") == 1


def test_a_port_that_is_taken_is_told(call: Call) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        called = call(f"web --port {other.getsockname()[1]}")
    assert called.code == 2
    assert "in use. Name another place with --host and --port" in called.err


def test_a_database_that_cannot_be_reached_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", "postgresql://127.0.0.1:1/nobody")
    called = call("web --port 0")
    assert (called.code, called.out) == (4, "")
    assert called.err.startswith("tapeworks: Cannot use the database")
