"""TLS to Redis and to PostgreSQL: the certificate is checked, and whatever is wrong is told."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import trustme

from tapeworks.model.config import RunConfig
from tapeworks.model.settings import Settings
from tapeworks.places import DATABASE
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.wire.addresses import REDIS
from tapeworks.wire.redis_client import connection_options, unreachable
from tapeworks.workers.app import app
from tests.support.calls import Call
from tests.support.desk import told_in_one_sentence
from tests.support.postgres import PostgresServer
from tests.support.processes import ROOT
from tests.support.secured_redis import SecuredRedis
from tests.support.tls_front import pem, tls_front
from tests.support.training import Digests, digests

pytestmark = pytest.mark.slow

LONG_AGO, LATER = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2020, 2021))

#: Ports by what is shown there: a good certificate, another host's, an expired one, none.
Ports = dict[str, int]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Path:
    """The authority's certificate, one of another authority, and what is no certificate."""
    directory = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(directory / "other.pem"))
    (directory / "junk.pem").write_text("no certificate")
    return directory


@pytest.fixture(scope="module")
def certificates(authority: trustme.CA, files: Path) -> dict[str, Path]:
    issued = {
        "good": authority.issue_cert("localhost"),
        "elsewhere": authority.issue_cert("elsewhere.example"),
        "expired": authority.issue_cert("localhost", not_before=LONG_AGO, not_after=LATER),
    }
    return {name: pem(certificate, files, name) for name, certificate in issued.items()}


@pytest.fixture(scope="module")
def redis_ports(secured: SecuredRedis, certificates: dict[str, Path]) -> Iterator[Ports]:
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(tls_front(secured.port, certificate))
            for name, certificate in certificates.items()
        }
        yield ports | {"plain": secured.port}


#: What is wrong: (port, scheme and host, options, words of the sentence).
WRONG = {
    "another authority": ("good", "rediss://localhost", "ssl_ca_certs=other.pem", "not signed"),
    "no authority": ("good", "rediss://localhost", "", "?ssl_ca_certs=/path/ca.pem"),
    "another host": ("elsewhere", "rediss://localhost", "ssl_ca_certs=ca.pem", "for another host"),
    "an address": ("good", "rediss://127.0.0.1", "ssl_ca_certs=ca.pem", "for another address"),
    "expired": ("expired", "rediss://localhost", "ssl_ca_certs=ca.pem", "has expired: renew it"),
    "plain to TLS": ("good", "redis://localhost", "", "use a rediss:// URL"),
    "TLS to plain": ("plain", "rediss://localhost", "ssl_ca_certs=ca.pem", "does not speak TLS"),
    "no file": ("good", "rediss://localhost", "ssl_ca_certs=none.pem", "none.pem: No such file"),
    "junk": ("good", "rediss://localhost", "ssl_ca_certs=junk.pem", "files in PEM format"),
    "no key": ("good", "rediss://localhost", "ssl_certfile=ca.pem", "with its own key"),
    "unchecked": ("good", "rediss://localhost", "ssl_cert_reqs=none", "certificates are always"),
    "optional": ("good", "rediss://localhost", "ssl_cert_reqs=optional", "always checked"),
    "any host": ("good", "rediss://localhost", "ssl_check_hostname=false", "always checked"),
}

#: What Celery's own client finds wrong by itself.
SEEN_BY_CELERY = ("another authority", "no authority", "another host", "an address", "expired")


def address(wrong: str, ports: Ports, files: Path) -> str:
    port, place, options, _ = WRONG[wrong]
    options = options.replace("=", f"={files}/") if options.endswith(".pem") else options
    return f"{place}:{ports[port]}/0?{options}"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_connection_to_redis_that_cannot_be_trusted_is_refused_with_the_reason(
    wrong: str,
    redis_ports: Ports,
    files: Path,
    secured: SecuredRedis,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in secured.named("worker", address(wrong, redis_ports, files)).items():
        monkeypatch.setenv(name, value)
    called = call("workers")

    told_in_one_sentence(called, 4, WRONG[wrong][3])
    assert secured.password("worker") not in called.err


@pytest.mark.parametrize("wrong", SEEN_BY_CELERY)
def test_celery_refuses_it_as_well(
    wrong: str, redis_ports: Ports, files: Path, secured: SecuredRedis
) -> None:
    named = secured.named("worker", address(wrong, redis_ports, files))
    url = str(REDIS.read(Settings(named)))
    app.use_redis(url)
    with app.connection_for_read() as connection, pytest.raises(redis.ConnectionError) as met:
        connection.connect()

    told = str(unreachable(url, met.value))
    assert WRONG[wrong][3] in told
    assert secured.password("worker") not in told


def test_celery_reaches_a_redis_whose_certificate_is_good(
    redis_ports: Ports, files: Path, secured: SecuredRedis
) -> None:
    url = f"rediss://localhost:{redis_ports['good']}/0?ssl_ca_certs={files}/ca.pem"
    app.use_redis(str(REDIS.read(Settings(secured.named("worker", url)))))
    with app.connection_for_read() as connection:
        connection.connect()
        assert connection.connected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", {"host": "localhost"}),
        (
            "redis://me:a;b%2Fc@[::1]:1/2?client_name=x",
            {"username": "me", "password": "a;b/c", "host": "::1", "port": 1, "db": 2},
        ),
        ("redis://localhost/?db=3", {"host": "localhost", "db": 3}),
        ("redis://h/0?username=me&password=p", {"username": "me", "password": "p", "host": "h"}),
        ("rediss://:p@h:1/0?ssl_check_hostname=true", {"password": "p", "port": 1}),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
    ],
)
def test_celery_is_told_the_same_redis(url: str, expected: dict[str, Any]) -> None:
    app.use_redis(url)
    connection = app.connection_for_read()
    assert expected.items() <= connection_options(connection.hostname).items()
    assert "a;b" not in connection.as_uri()
    assert ":p@" not in connection.as_uri()


@pytest.fixture
def postgres_ports(postgres: PostgresServer, certificates: dict[str, Path]) -> Iterator[Ports]:
    """TLS before a PostgreSQL; at `plain`, it has none."""
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(tls_front(postgres.port, certificate, "postgresql"))
            for name, certificate in certificates.items()
        }
        yield ports | {"plain": postgres.port}


#: Likewise of PostgreSQL: (port, host, options, words).
WRONG_DATABASE = {
    "another authority": ("good", "localhost", "verify-full&sslrootcert=other.pem", "its CA with"),
    "another host": ("elsewhere", "localhost", "verify-full&sslrootcert=ca.pem", "as its certif"),
    "expired": ("expired", "localhost", "verify-full&sslrootcert=ca.pem", "has expired, or"),
    "no file": ("good", "localhost", "verify-full&sslrootcert=none.pem", "sslrootcert"),
    "no encryption": ("good", "localhost", "disable", "sslmode=verify-full"),
    "no TLS": ("plain", "localhost", "verify-full&sslrootcert=ca.pem", "does not speak TLS"),
}


@pytest.mark.parametrize("wrong", WRONG_DATABASE)
def test_a_connection_to_a_database_that_cannot_be_trusted_is_refused_with_the_reason(
    wrong: str,
    postgres_ports: Ports,
    files: Path,
    places: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, host, options, words = WRONG_DATABASE[wrong]
    options = options.replace("sslrootcert=", f"sslrootcert={files}/")
    (places / "password").write_text("hush")
    url = f"postgresql://tapeworks@{host}:{postgres_ports[port]}/postgres?sslmode={options}"
    monkeypatch.setenv(DATABASE.url_variable, url)
    monkeypatch.setenv(DATABASE.file_variable, str(places / "password"))
    called = call("runs")

    told_in_one_sentence(called, 4, words)
    assert "hush" not in called.err


def test_a_run_completes_over_verify_full(
    postgres: PostgresServer,
    postgres_ports: Ports,
    files: Path,
    call: Call,
    undisturbed: Callable[[RunConfig], Digests],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE verified")
    url = f"postgresql://tapeworks@localhost:{postgres_ports['good']}/verified"
    url += f"?sslmode=verify-full&sslrootcert={files}/ca.pem"
    monkeypatch.setenv(DATABASE.url_variable, url)
    history = History(Database(url))
    history.database.upgrade()
    trained = call("train --workers 0 --images 16 --iterations 3 --json")

    assert trained.code == 0, trained.err
    expected = undisturbed(RunConfig(images=16, iterations=3))
    assert digests(history, trained.values["id"]) == expected
    history.database.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="There is no openssl on the PATH.")
def test_the_certificates_of_the_security_page_are_good_for_redis(
    secured: SecuredRedis, places: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "SECURITY.md").read_text().partition("\n## Certificates\n")[2]
    [commands] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    subprocess.run(["sh", "-e", "-c", commands], cwd=places, check=True, capture_output=True)
    both = places / "both.pem"
    both.write_text((places / "server.key").read_text() + (places / "server.pem").read_text())
    with tls_front(secured.port, both) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={places}/ca.pem"
        for name, value in secured.named("worker", url).items():
            monkeypatch.setenv(name, value)
        assert call("workers").code == 0
        monkeypatch.setenv(REDIS.url_variable, url.replace("//localhost", "//worker@127.0.0.1"))
        told_in_one_sentence(call("workers"), 4, "for another address")
