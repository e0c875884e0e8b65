"""A secured Redis: a run completes with each role's few rights, and all else is refused."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from tapeworks.cluster.redis_rights import check_roles
from tapeworks.model.config import RunConfig, run_config
from tapeworks.storage.history import History
from tapeworks.web.pages.living import Lookout
from tapeworks.wire import keys
from tapeworks.wire.acl import ROLES
from tapeworks.wire.addresses import REDIS
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import SchedulerRecord, WorkerRecord
from tests.support.calls import Call
from tests.support.desk import told_in_one_sentence
from tests.support.processes import Start, workers_of
from tests.support.redis_servers import redis_with
from tests.support.secured_redis import SecuredRedis
from tests.support.tls_front import pem, tls_front
from tests.support.training import Digests, digests
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Of the run, which is long enough for a worker to die in the middle of it.
SETTINGS: dict[str, Any] = {"images": 48, "iterations": 600, "shards": 3, "seed": 3}


def users_client(secured: SecuredRedis, user: str) -> redis.Redis:
    return redis.Redis.from_url(secured.url(user))


@pytest.fixture
def worker(secured: SecuredRedis) -> Iterator[redis.Redis]:
    """Yield a client with a worker's credentials, such as a thief would have."""
    with users_client(secured, "worker") as client:
        yield client


def test_a_run_completes_over_tls_with_the_rights_of_each_role(
    secured: SecuredRedis,
    authority: trustme.CA,
    places: Path,
    start: Start,
    call: Call,
    found: History,
    undisturbed: Callable[[RunConfig], Digests],
) -> None:
    authority.cert_pem.write_to_path(str(places / "ca.pem"))
    keys = set[str]()
    secured.admin.acl_log_reset()
    options = [f"--{name} {value}" for name, value in SETTINGS.items()]
    run = call(f"submit {' '.join(options)}").out.strip()
    certificate = pem(authority.issue_cert("localhost"), places, "good")
    with tls_front(secured.port, certificate) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={places}/ca.pem"
        scheduler = start("scheduler", **secured.named("scheduler", url))
        workers = start("worker", "--processes", "2", **secured.named("worker", url))

        def stands_at() -> int:
            keys.update(key.decode() for key in secured.admin.scan_iter())
            return found.find_run(run).completed_iterations

        until(lambda: stands_at() > 3, "the run has begun")
        first, *_ = workers_of(workers)
        first.kill()
        assert stands_at() < SETTINGS["iterations"]
        until(lambda: stands_at() == SETTINGS["iterations"], "the run is completed")
        until(lambda: f"Run {run} is completed" in scheduler.err, "the scheduler says so")
        for service in (workers, scheduler):
            service.interrupt()
            assert service.ended() == 130

    assert digests(found, run) == undisturbed(run_config(SETTINGS))
    assert secured.admin.acl_log() == [], "nobody was refused anything"
    assert "Traceback" not in scheduler.err + workers.err
    kinds = {key.split(":")[1] for key in keys}
    assert {"payload", "current", "network", "worker", "workers", "runs"} <= kinds
    with users_client(secured, "worker") as thief:
        for key in keys - {key for key in keys if writable_by_workers(key)}:
            refused(thief, "DEL", key)
            refused(thief, "EXPIRE", key, 1)


def writable_by_workers(key: str) -> bool:
    kind = key.split(":")[1]
    return kind in {"answer", "arrivals", "worker", "workers"}


def refused(client: redis.Redis, *command: Any) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)  # type: ignore[no-untyped-call]


#: What a stolen worker's password is not enough for.
FORBIDDEN = """
FLUSHALL; FLUSHDB; CONFIG GET maxmemory; CONFIG SET maxmemory 1; KEYS *; SCAN 0; DBSIZE;
RANDOMKEY; EVAL return 0; EVALSHA abc 0; SCRIPT LOAD return; SCRIPT FLUSH; FUNCTION LIST;
ACL LIST; ACL WHOAMI; ACL SETUSER worker +@all; DEBUG SLEEP 0; SHUTDOWN; MONITOR;
CLIENT LIST; CLIENT NO-EVICT ON; APPEND tapeworks:worker:one x;
SETRANGE tapeworks:worker:one 536870911 x; CLIENT KILL TYPE normal; CLIENT PAUSE 1;
CLIENT TRACKING ON BCAST;
REPLICAOF NO ONE; SAVE; MODULE LIST; SWAPDB 0 1; SLOWLOG GET;
PUBLISH tapeworks:/0.celery.pidbox stop; SUBSCRIBE tapeworks; PSUBSCRIBE *; GET foreign;
SET foreign 1; GET tapeworks:foreign; SET tapeworks:foreign 1;
MGET tapeworks:runs foreign; SET tapeworks:payload:abc 1; DEL tapeworks:payload:abc;
EXPIRE tapeworks:payload:abc 1; SET tapeworks:current:run 9:9; DEL tapeworks:current:run;
EXPIRE tapeworks:current:run 1; SET tapeworks:network:run {}; DEL tapeworks:network:run;
SREM tapeworks:runs run; DEL tapeworks:runs; SADD tapeworks:quarantined:run worker;
SREM tapeworks:quarantined:run worker; DEL tapeworks:quarantined:run;
SET tapeworks:in-progress:run 1; DEL tapeworks:in-progress:run;
GET tapeworks:in-progress:run; SET tapeworks:scheduler:one {};
DEL tapeworks:scheduler:one; GET tapeworks:scheduler:one; SADD tapeworks:schedulers one;
SMEMBERS tapeworks:schedulers; RENAME tapeworks:current:run tapeworks:answer:run;
GET tapeworks:answer:run.1.0.0.1; DEL tapeworks:answer:run.1.0.0.1;
GETRANGE tapeworks:answer:run.1.0.0.1 0 1; UNLINK tapeworks:answer:run.1.0.0.1;
LRANGE tapeworks:arrivals:run 0 -1; BLPOP tapeworks:arrivals:run 1; DEL tapeworks:arrivals:run;
DEL tapeworks:shards; SADD tapeworks:_kombu.binding.shards shards;
LRANGE tapeworks:shards 0 -1; LPUSH tapeworks:shards x; RPUSH tapeworks:shards x;
EXPIRE tapeworks:shards 1; SET tapeworks:unacked x; TIME;
COPY tapeworks:payload:abc tapeworks:answer:abc;
SORT tapeworks:runs STORE tapeworks:workers; DUMP tapeworks:payload:abc;
OBJECT FREQ tapeworks:payload:abc; MIGRATE h 1 k 0 1
"""


@pytest.mark.parametrize("command", [one.strip() for one in FORBIDDEN.split(";")])
def test_a_workers_credentials_are_not_enough_for(command: str, worker: redis.Redis) -> None:
    refused(worker, *command.split())


@pytest.mark.parametrize("user", ROLES)
@pytest.mark.parametrize(
    "command", ["FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "GET foreign"]
)
def test_nobodys_credentials_are_enough_for(user: str, command: str, secured: SecuredRedis) -> None:
    with users_client(secured, user) as client:
        refused(client, *command.split())


def test_a_stranger_may_do_nothing(secured: SecuredRedis) -> None:
    with redis.Redis.from_url(f"redis://127.0.0.1:{secured.port}/0") as stranger:
        for command in ("PING", "INFO", "GET tapeworks:runs"):
            with pytest.raises(redis.AuthenticationError):
                stranger.execute_command(*command.split())


def test_every_key_has_its_rule() -> None:
    functions = [made for name, made in vars(keys).items() if name.endswith("_key")]
    found = [made("x") for made in functions if inspect.isfunction(made)]
    found += [value for name, value in vars(keys).items() if name.endswith("_KEY")]
    patterns = {key for grants in ROLES.values() for grant in grants for key in grant.keys}

    assert len(found) > 10
    queues = {keys.QUEUE_KEY, keys.queue_key("x")}
    assert {key for key in found if key.replace(":x", ":*") not in patterns} == queues
    assert f"{keys.QUEUE_KEY}*" in patterns


def test_the_web_page_sees_who_is_there_and_may_change_nothing(secured: SecuredRedis) -> None:
    all_rights = Exchange(f"redis://admin:any@127.0.0.1:{secured.port}/0")
    all_rights.register_worker(WorkerRecord(name="w", host="h", pid=1, since="now", state="busy"))
    scheduler = SchedulerRecord(name="s", host="h", pid=1, since="now", state="driving")
    all_rights.register_scheduler(scheduler)
    secured.admin.sadd(keys.WORKERS_KEY, "gone")
    secured.admin.sadd(keys.RUNS_KEY, "run")
    secured.admin.sadd(keys.quarantine_key("run"), "w")
    secured.admin.acl_log_reset()
    seen = Lookout(secured.url("web")).look()
    assert seen.problem is None
    assert [one.name for one in (*seen.workers, *seen.schedulers)] == ["w", "s"]
    assert seen.quarantined == {"w": ["run"]}
    assert secured.admin.acl_log() == [], "it asked for nothing that it may not"
    assert secured.admin.sismember(keys.WORKERS_KEY, "gone")
    with users_client(secured, "web") as thief:
        for command in FORBIDDEN_TO_THE_PAGE.split(";"):
            refused(thief, *command.split())
    secured.admin.flushdb()


#: What the password of the web page is not enough for.
FORBIDDEN_TO_THE_PAGE = """
SREM tapeworks:workers w; DEL tapeworks:worker:w; SET tapeworks:worker:w {};
SADD tapeworks:workers x;
SREM tapeworks:quarantined:run w; GET tapeworks:payload:abc; GET tapeworks:current:run;
GET tapeworks:answer:x; LPUSH tapeworks:shards x; LLEN tapeworks:shards; PUBLISH x y
"""


def test_a_wrong_password_is_told_and_not_shown(
    secured: SecuredRedis, places: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places / "wrong").write_text("guess")
    monkeypatch.setenv(REDIS.url_variable, f"redis://worker@127.0.0.1:{secured.port}/0")
    monkeypatch.setenv(REDIS.file_variable, str(places / "wrong"))
    for line in ("worker", "workers", "scheduler", "train --workers 1"):
        called = call(line)
        told_in_one_sentence(called, 4, "refuses this user and password")
        assert REDIS.file_variable in called.err
        assert "guess" not in called.err


@pytest.mark.parametrize("user", ROLES)
def test_training_with_the_user_of_a_role_is_refused_before_anything_starts(
    user: str, secured: SecuredRedis, call: Call, monkeypatch: pytest.MonkeyPatch, found: History
) -> None:
    monkeypatch.setenv(REDIS.url_variable, secured.url(user))
    called = call("train --workers 1")
    told_in_one_sentence(called, 2, f"the Redis user {user} may not do that of a ")
    assert called.err.endswith("or queue the run with: tapeworks submit\n")
    assert "Starting" not in called.err
    assert found.runs() == []


@pytest.mark.parametrize(("command", "user"), [("worker", "scheduler"), ("scheduler", "worker")])
def test_a_service_with_the_user_of_another_role_is_refused(
    command: str, user: str, secured: SecuredRedis, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REDIS.url_variable, secured.url(user))
    told_in_one_sentence(call(command), 2, f"user {user} may not do that of a {command}")


def test_a_redis_that_is_full_refuses_nobody_a_right() -> None:
    with redis_with("--maxmemory", "100kb") as url:
        with redis.Redis.from_url(url) as client, pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("any", 1)
        check_roles(url, "train", "scheduler", "worker")


def test_a_right_that_is_missing_is_told_with_the_remedy(
    secured: SecuredRedis, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REDIS.url_variable, secured.url("flower"))
    called = call("workers")
    told_in_one_sentence(called, 4, "The Redis user flower may not do what it has to")
    assert "tapeworks secrets" in called.err


def test_a_worker_whom_redis_does_not_know_ends_with_the_reason(
    secured: SecuredRedis, start: Start
) -> None:
    url = f"redis://worker:guess@127.0.0.1:{secured.port}/0"
    stranger = start(module="tapeworks.workers", TAPEWORKS_REDIS_URL=url)

    assert stranger.ended() == 4
    [line] = stranger.err.splitlines()
    assert "refuses this user and password" in line
    assert "guess" not in line


def test_a_login_that_is_missing_is_told(
    secured: SecuredRedis, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REDIS.url_variable, f"redis://127.0.0.1:{secured.port}/0")
    told_in_one_sentence(call("workers"), 4, "refuses this user and password")


def test_a_worker_that_has_to_log_in_again_with_an_old_password_ends(
    secured: SecuredRedis, start: Start
) -> None:
    worker = start(module="tapeworks.workers", TAPEWORKS_REDIS_URL=secured.url("worker"))
    record = keys.worker_key(f"{socket.gethostname()}-{worker.process.pid}")
    until(lambda: secured.admin.exists(record), "the worker shows itself")
    (secured.secrets / "redis_worker_password").unlink()
    secured.make_secrets()
    secured.admin.acl_load()
    secured.admin.client_kill_filter(user="worker")  # open connections stay otherwise

    assert worker.ended() == 4
    assert "ends itself: Redis at redis://worker:***@" in worker.err
