"""A client on both sides of a fork: every submission is there once, whoever made it."""

from __future__ import annotations

import copy
import os
import pickle
import sqlite3
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

import tapeworks
from tapeworks.cluster.redis_server import RedisServer
from tapeworks.model.networks.builtin.spec import BuiltinNetwork
from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import (
    ForkedInUse,
    NotCopied,
    RunNotFound,
    SchemaMismatch,
    StorageError,
)
from tapeworks.storage.history import History
from tapeworks.wire.exchange import Exchange
from tests.support.messages import announce as stand_at
from tests.support.training import settings

pytestmark = pytest.mark.slow

#: Small, so that much is submitted in a short time.
CONFIG = settings(iterations=1)

#: Processes beside the test's own, and what each of them submits.
CHILDREN, RUNS = 3, 8


@pytest.fixture
def client(either_history: History) -> tapeworks.Client:
    return tapeworks.Client(either_history)


def forked(work: Callable[[], object]) -> int:
    """Start a child that does this and ends with 0, or with 1 after an error."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    return child


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def submit(client: tapeworks.Client, by: str) -> None:
    for number in range(RUNS):
        run = client.submit(CONFIG, name=f"{by}-{number}", tags={"by": by})
        assert client.run(run.id).tags == {"by": by}


def test_parent_and_children_submit_at_once_and_every_run_is_there_once(
    client: tapeworks.Client,
) -> None:
    client.submit(CONFIG, name="before")
    names = [f"child {number}" for number in range(CHILDREN)]
    children = [forked(lambda name=name: submit(client, name)) for name in names]  # type: ignore[misc]
    submit(client, "parent")
    assert [code_of(child) for child in children] == [0] * CHILDREN
    expected = {f"{by}-{number}" for by in ("parent", *names) for number in range(RUNS)}
    found = client.query("SELECT name, (SELECT COUNT(*) FROM events) AS events FROM runs")
    assert sorted(found["name"]) == sorted(expected | {"before"})
    assert set(found["events"]) == {len(found)}


def test_grandchildren_begin_with_connections_of_their_own(client: tapeworks.Client) -> None:
    def child() -> None:
        submit(client, "child")
        assert code_of(forked(lambda: submit(client, "grandchild"))) == 0
        client.submit(CONFIG, name="child-last")

    client.submit(CONFIG)
    assert code_of(forked(child)) == 0
    assert len(client.runs()) == 2 * RUNS + 2


def test_threads_share_a_client_while_processes_are_forked(client: tapeworks.Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(submit, client, f"thread {number}") for number in range(4)]
        children = [forked(lambda: submit(client, "child")) for _ in range(CHILDREN)]
        for thread in threads:
            thread.result()
    assert [code_of(child) for child in children] == [0] * CHILDREN
    assert len(client.runs()) == (4 + CHILDREN) * RUNS


def test_a_fork_waits_for_the_transaction_of_another_thread(client: tapeworks.Client) -> None:
    database = client.database
    is_open, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            is_open.set()
            assert may_end.wait(60)
            ended.set()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert is_open.wait(60)
        threading.Timer(0.1, may_end.set).start()
        child = forked(lambda: submit(client, "child"))
        assert ended.is_set() or not database.is_sqlite
        may_end.set()
        holding.result()
    assert code_of(child) == 0
    assert len(client.runs()) == RUNS


def test_a_fork_gets_its_turn_among_threads_that_never_rest(history: History) -> None:
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            history.runs()

    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(read_on) for _ in range(4)]
        children = [forked(history.runs) for _ in range(10)]
        is_over.set()
    assert [thread.exception() for thread in reading] == [None] * 4
    assert [code_of(child) for child in children] == [0] * 10


def test_a_file_that_was_in_use_at_the_fork_is_refused_in_the_child_alone(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def child() -> None:
        for database in (history.database, Database(str(history.database.file))):
            with pytest.raises(ForkedInUse, match=r"forked while the database sqlite:.* in use"):
                History(database).runs()

    with history.database.read():
        forked_child = forked(child)
    assert code_of(forked_child) == 0
    assert history.runs() == []


def test_no_connection_to_a_file_is_open_in_a_child(history: History) -> None:
    history.runs()

    def child() -> None:
        own = str(history.database.file)
        opened = [file.path for file in psutil.Process().open_files()]
        assert not [path for path in opened if path.startswith(own)]

    assert code_of(forked(child)) == 0
    with sqlite3.connect(str(history.database.file)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()


def test_a_child_has_connections_to_redis_of_its_own() -> None:
    with RedisServer() as server:
        exchange = Exchange(server.url)

        def announce(by: str) -> None:
            for number in range(50):
                exchange.announce_run(f"{by}-{number}", BuiltinNetwork())
                assert exchange.survey(f"{by}-{number}", None).knows_run is False
                stand_at(exchange, f"{by}-{number}", 1, number)
                assert exchange.survey(f"{by}-{number}", None).knows_run is True

        announce("before")
        names = [f"child {number}" for number in range(CHILDREN)]
        children = [forked(lambda name=name: announce(name)) for name in names]  # type: ignore[misc]
        announce("parent")
        assert [code_of(child) for child in children] == [0] * CHILDREN
        assert exchange.survey("parent-0", None).runs == 50 * (2 + CHILDREN)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_holds_connections_cannot_be_copied_and_says_so(
    history: History, duplicate: Callable[[object], object]
) -> None:
    client = tapeworks.Client(history)
    run = client.submit(CONFIG)
    for kept, kind in ((client, "client"), (run, "run"), (history, "history")):
        with pytest.raises(NotCopied, match=f"A {kind} holds connections and cannot be pickled"):
            duplicate(kept)


@pytest.mark.parametrize("error", [RunNotFound("x"), SchemaMismatch("a", None, "b")])
def test_an_error_passes_from_process_to_process(error: StorageError) -> None:
    received = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(received), str(received)) == (type(error), str(error))
