"""A thread's own connection to Redis: its replies are those of its own questions, or an error."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import trustme

from tapeworks.cluster.redis_server import RedisServer
from tapeworks.wire import redis_client
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.keys import answer_key, arrivals_key
from tapeworks.wire.redis_client import Line, connect
from tests.support.messages import HEADER, message
from tests.support.redis_servers import redis_with
from tests.support.secured_redis import secured_redis
from tests.support.tls_front import pem, tls_front
from tests.support.waiting import until

#: Seconds until a silent server counts as gone, here.
TIMEOUT_SECONDS = 0.5

#: Threads one after the other, more than a pool of redis-py ever makes connections.
THREADS = 120

#: A way to silence a server for a while.
Silence = Callable[[redis.Redis, psutil.Process], AbstractContextManager[None]]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    """A client that sees all connections, its own among them."""
    with redis.Redis.from_url(server.url, single_connection_client=True) as client:
        yield client


@pytest.fixture
def line(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(redis_client, "ANSWER_TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    return Line(connect(server.url))


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nothing goes but what nobody refers to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def identity(line: Line) -> int:
    """The number that the server has given to this thread's connection."""
    [number] = line.ask(("CLIENT", "ID"))
    return int(number)


def others(admin: redis.Redis) -> int:
    """Connections beside the administrator's."""
    return len(admin.client_list()) - 1


def none_is_left(admin: redis.Redis) -> bool:
    return until(lambda: others(admin) == 0, "no connection is left")


class TestReplies:
    def test_come_in_the_order_of_the_questions(self, line: Line) -> None:
        asked: list[tuple[Any, ...]] = [
            ("SET", "a", b"x" * 100_000),
            ("GET", "a"),
            ("GET", "b"),
            ("INCR", "n"),
        ]
        asked += [("RPUSH", "l", 1, 2.5, "three"), ("LRANGE", "l", 0, -1)]
        for number in range(1, 4):
            replies = line.ask(("DEL", "l"), *asked)[1:]
            assert replies == [b"OK", b"x" * 100_000, None, number, 3, [b"1", b"2.5", b"three"]]

    def test_of_no_question_are_none(self, line: Line) -> None:
        assert line.ask() == []

    def test_that_are_errors_are_raised_once_all_are_read_and_done(self, line: Line) -> None:
        before = identity(line)
        line.ask(("RPUSH", "list", 1))
        wrong = ("GET", "list"), ("INCR", "n"), ("NOSUCHCOMMAND",), ("INCR", "n")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            line.ask(*wrong)
        assert line.ask(("GET", "n")) == [b"2"]
        first, three, third, four = line.ask_each(*wrong)
        assert (three, four) == (3, 4)
        assert isinstance(first, redis.ResponseError)
        assert isinstance(third, redis.ResponseError)
        assert identity(line) == before, "the connection is the same"


class TestALostConnection:
    def test_is_made_anew_and_asked_once_more(self, line: Line, admin: redis.Redis) -> None:
        before = identity(line)
        admin.client_kill_filter(_id=str(before))
        assert line.ask(("INCR", "n"), ("INCR", "n")) == [1, 2]
        assert identity(line) != before

    def test_is_made_anew_when_the_server_was_restarted(
        self, line: Line, server: RedisServer
    ) -> None:
        line.ask(("SET", "a", 1))
        psutil.Process(server.process_id).kill()
        until(server.revive, "it is started again")
        assert line.ask(("GET", "a"), ("INCR", "n")) == [None, 1]

    def test_is_asked_no_third_time(self, line: Line, admin: redis.Redis) -> None:
        # Given a question after which the server closes the connection, each time.
        with pytest.raises(redis.ConnectionError):
            line.ask(("INCR", "n"), ("QUIT",), ("GET", "n"))
        assert admin.get("n") == b"2"
        assert line.ask(("GET", "n")) == [b"2"]

    def test_is_not_waited_for_where_nobody_listens(
        self, line: Line, server: RedisServer, admin: redis.Redis
    ) -> None:
        identity(line)
        admin.shutdown(nosave=True)
        with pytest.raises(redis.ConnectionError):
            line.ask(("INCR", "n"))
        until(server.revive, "it is started again")
        assert line.ask(("INCR", "n")) == [1]


@contextmanager
def paused(admin: redis.Redis, _: psutil.Process) -> Iterator[None]:
    admin.client_pause(60_000, all=False)  # what writes waits
    yield
    admin.client_unpause()


@contextmanager
def stopped(_: redis.Redis, process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@pytest.mark.parametrize("silence", [paused, stopped])
def test_a_time_out_is_raised_once_and_no_late_reply_is_taken_for_another(
    silence: Silence, line: Line, server: RedisServer, admin: redis.Redis
) -> None:
    line.ask(("SET", "a", "mine"), ("SET", "n", 0))
    with silence(admin, psutil.Process(server.process_id)):
        with pytest.raises(redis.TimeoutError):
            line.ask(("INCR", "n"), ("GET", "n"))
        with pytest.raises(redis.TimeoutError):
            line.ask(("INCR", "n"))
    assert line.ask(("GET", "a"), ("ECHO", "yours")) == [b"mine", b"yours"]
    assert int(admin.get("n") or 0) <= 2, "each is asked once"


def test_a_wait_for_a_message_is_shorter_than_the_time_out(
    server: RedisServer, admin: redis.Redis
) -> None:
    exchange = Exchange(server.url)
    exchange.check()
    assert exchange.take_entry(["shards"], 0.05) is None
    assert exchange.arrivals("no-run", 1e-05) == []
    exchange.answer(HEADER, b"")
    assert exchange.arrivals("no-run", 0.01) == [HEADER.key.id]


class TestThreads:
    def test_have_a_connection_each(self, line: Line) -> None:
        seen, all_are_connected = set[int](), threading.Barrier(3)

        def ask() -> None:
            seen.add(identity(line))
            all_are_connected.wait(60)
            for number in range(200):
                own = f"{threading.get_ident()}-{number}"
                assert line.ask(("ECHO", own)) == [own.encode()]

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
        assert [one.result() for one in asking] == [None] * 3
        assert len(seen) == 3

    @pytest.mark.usefixtures("without_collector")
    def test_leave_none_behind_however_many_there_were(
        self, server: RedisServer, admin: redis.Redis
    ) -> None:
        exchange, failures = Exchange(server.url), list[RedisUnreachable]()

        def look() -> None:
            try:
                exchange.fetch({"a": 1})
            except RedisUnreachable as error:
                failures.append(error)

        for _ in range(THREADS):
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert not failures
        assert none_is_left(admin)


@pytest.mark.usefixtures("without_collector")
class TestAnExchangeThatIsDropped:
    """It leaves no connection behind, whatever happened to it."""

    def test_after_use_by_two_threads(self, server: RedisServer, admin: redis.Redis) -> None:
        exchange, may_end, is_used = Exchange(server.url), threading.Event(), threading.Event()

        def use(exchange: list[Exchange]) -> None:
            exchange.pop().fetch({"a": 1})
            is_used.set()
            may_end.wait(60)

        thread = threading.Thread(target=use, args=([exchange],))
        thread.start()
        assert is_used.wait(60)
        exchange.server_id()
        exchange.fetch({"a": 1})
        assert others(admin) == 3, "the pool's, and one for each thread"
        del exchange
        assert none_is_left(admin)
        may_end.set()
        thread.join()

    def test_after_an_error_among_the_replies(
        self, server: RedisServer, admin: redis.Redis
    ) -> None:
        exchange = Exchange(server.url)
        admin.set(arrivals_key("no-run"), "no list")
        with pytest.raises(RedisUnreachable, match="wrong kind of value"):
            exchange.arrivals("no-run", 0.01)
        assert others(admin) == 1
        del exchange
        assert none_is_left(admin)

    def test_over_tcp(self) -> None:
        with redis_with() as url, redis.Redis.from_url(url) as admin:
            before = len(admin.client_list())
            exchange = Exchange(url)
            exchange.server_id()
            exchange.send([message("no-run", iteration=0)])
            assert len(admin.client_list()) == before + 2
            del exchange
            until(lambda: len(admin.client_list()) == before, "no connection is left")


def test_password_and_tls_are_those_of_the_url(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = pem(authority.issue_cert("localhost"), tmp_path, "good")
    with secured_redis(tmp_path) as secured, tls_front(secured.port, certificate) as port:
        place = f"worker:{secured.password('worker')}@localhost"
        good = f"rediss://{place}:{port}/0?ssl_ca_certs={tmp_path}/ca.pem"
        for url in (f"redis://{place}:{secured.port}/0", good):
            exchange = Exchange(url)
            exchange.answer(HEADER, b"x" * 100_000)
            assert exchange.take_entry(["shards"], 0.01) is None
        wrong = {
            good.replace(secured.password("worker"), "other"): "refuses this user and password",
            good.split("?", 1)[0]: "not signed by an authority trusted here",
        }
        for url, words in wrong.items():
            with pytest.raises(RedisUnreachable, match=words):
                Exchange(url).answer(HEADER, b"")


def test_an_answer_of_which_only_the_announcement_was_taken_is_written_again(
    tmp_path: Path,
) -> None:
    # Given a Redis that refuses the answer itself, as a full one may for a moment.
    with secured_redis(tmp_path) as secured:
        worker, scheduler = (Exchange(secured.url(role)) for role in ("worker", "scheduler"))
        name, limits = HEADER.key.id, {HEADER.key.id: 10_000}
        rights = f"(~{arrivals_key('*')} +rpush +expire)"
        secured.allow("worker", "clearselectors", rights)
        with pytest.raises(RedisUnreachable, match="may not do"):
            worker.answer(HEADER, b"arrays")
        assert scheduler.arrivals("no-run", 1.0) == [name]
        assert list(scheduler.take_answers(limits)) == [(name, None)]
        secured.allow("worker", f"(~{answer_key('*')} +set)")
        worker.answer(HEADER, b"arrays")
        assert scheduler.arrivals("no-run", 1.0) == [name]
        [(_, answer)] = scheduler.take_answers(limits)
        assert answer is not None
        assert answer.endswith(b"\narrays")
