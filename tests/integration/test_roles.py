"""The roles that deploy/postgresql/roles.sql makes, and what a SELECT can do as each of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tapeworks.storage.connection.database import Database
from tapeworks.storage.errors import QueryError, StorageError
from tapeworks.storage.history import History
from tapeworks.storage.queries.roles import Role, role_of
from tapeworks.storage.queries.search import find_runs, query
from tests.support.calls import Call, Called
from tests.support.made_up import submit
from tests.support.postgres import PostgresServer, programs, running_postgres

ROLES = Path(__file__).resolve().parents[2] / "deploy" / "postgresql" / "roles.sql"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """A server with Tapeworks' roles and one run."""

    server: PostgresServer
    owner: Database
    reader: Database
    superuser: Database


def _made(server: PostgresServer, secrets: Path) -> None:
    files = {"OWNER_PASSWORD_FILE": secrets / "owner", "READER_PASSWORD_FILE": secrets / "reader"}
    for file in files.values():
        file.write_text(f"{file.name}'s own\n")
    psql = [str(programs() / "psql"), "--no-psqlrc", "--file", str(ROLES), server.url()]
    named = {variable: str(file) for variable, file in files.items()}
    subprocess.run(psql, check=True, capture_output=True, env=os.environ | named)


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """A server of its own, whose superuser is called postgres and has made the roles."""
    secrets = tmp_path_factory.mktemp("secrets")
    with running_postgres(superuser="postgres") as server:
        _made(server, secrets)
        _made(server, secrets)  # which may be repeated
        of = server.url("tapeworks").replace
        made = {name: Database(of("//postgres@", f"//{name}@")) for name in ("tapeworks", "reader")}
        made["tapeworks"].upgrade()
        submit(History(made["tapeworks"]))
        superuser = Database(server.url("tapeworks"))
        yield Roles(
            server=server,
            owner=made["tapeworks"],
            reader=made["reader"],
            superuser=superuser,
        )
        for database in (*made.values(), superuser):
            database.close()


#: Functions that a SELECT may call and that do harm, to the server or to its files.
HARMFUL = (
    "pg_create_logical_replication_slot('mine', 'test_decoding')",
    "pg_create_physical_replication_slot('mine')",
    "pg_read_file('PG_VERSION')",
    "pg_ls_dir('.')",
    "lo_export(1, '/tmp/stolen')",
    "lo_import('/etc/hostname')",
    "lo_create(0)",
    "pg_reload_conf()",
    "pg_switch_wal()",
    "pg_promote()",
    "nextval('stored_events_id_seq')",
    "setval('stored_events_id_seq', 1)",
    "dblink('', 'SELECT 1')",
    "set_config('session_authorization', 'postgres', false)",
    "set_config('role', 'postgres', false)",
    "set_config('temp_file_limit', '-1', false)",
    "set_config('transaction_read_only', 'off', false)",
    "query_to_xml('DELETE FROM stored_runs', true, true, '')",
    "query_to_xml('COPY stored_runs TO PROGRAM ''true''', true, true, '')",
)


@pytest.mark.parametrize("call", HARMFUL)
@pytest.mark.parametrize("who", ["owner", "reader"])
def test_neither_role_does_harm_with_a_select(roles: Roles, who: str, call: str) -> None:
    with pytest.raises(QueryError):
        query(getattr(roles, who), f"SELECT {call}")
    assert len(find_runs(roles.reader).rows) == 1


def test_the_reader_ends_nobodys_session_and_the_owner_only_its_own(roles: Roles) -> None:
    ending = "SELECT pg_terminate_backend({}) AS ended"
    with roles.owner.read() as session:
        number = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with pytest.raises(QueryError, match="permission denied"):
            query(roles.reader, ending.format(number))
        assert session.execute(text("SELECT 1")).scalar_one() == 1
    with psycopg.connect(roles.server.url()) as superuser:
        with pytest.raises(QueryError, match="permission denied"):
            query(roles.owner, ending.format(superuser.info.backend_pid))
        assert superuser.execute("SELECT 1").fetchone() == (1,)


def test_a_lock_that_a_query_takes_is_gone_with_it(roles: Roles) -> None:
    for _ in range(2):
        taken = query(roles.reader, "SELECT pg_try_advisory_lock(7413001) AS taken")
        assert taken.rows == ((1,),)


def test_the_reader_changes_nothing_also_without_tapeworks(roles: Roles) -> None:
    address = roles.server.url("tapeworks").replace("//postgres@", "//reader@")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in (
            "DELETE FROM stored_runs",
            "CREATE TABLE mine (a INTEGER)",
            "CREATE TEMP TABLE mine (a INTEGER)",
            "COPY stored_runs TO PROGRAM 'true'",
            "TABLE pg_authid",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_reader_reads_what_later_upgrades_make(roles: Roles) -> None:
    roles.owner.upgrade()  # makes every view anew
    assert query(roles.reader, "SELECT status FROM runs").rows == (("queued",),)
    with pytest.raises(StorageError, match=r"refused this user \(it may only read"):
        submit(History(roles.reader))


def test_a_role_is_described_by_what_it_may_do(roles: Roles) -> None:
    assert role_of(roles.reader) == Role(name="reader", rules_server=False, may_write=False)
    assert role_of(roles.owner) == Role(name="tapeworks", rules_server=False, may_write=True)
    assert role_of(roles.superuser) == Role(name="postgres", rules_server=True, may_write=True)


# Colleagues who submit


def _documented() -> str:
    """The statements of docs/deployment.md that make the role, and one for a colleague."""
    page = (ROLES.parents[2] / "docs" / "deployment.md").read_text(encoding="utf-8")
    return page.partition("```sql\nCREATE ROLE submitter")[2].partition("```")[0]


@pytest.fixture(scope="module")
def submitter(roles: Roles) -> str:
    """The address of the database for a colleague who may submit."""
    with psycopg.connect(roles.server.url("tapeworks"), autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE submitter{_documented()}")
    roles.owner.upgrade()
    return roles.server.url("tapeworks").replace("//postgres@", "//ada@")


def test_a_submitter_submits_and_changes_runs_and_does_nothing_else(
    submitter: str, roles: Roles, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", submitter)
    run = call("submit --images 8 --iterations 1 --tag a=b --name hers").out.strip()
    for line in (
        *("runs", "show hers", "pause hers", "resume hers", "priority 2 hers"),
        *("retry hers --name again", "cancel hers --reason no", "query 'SELECT 1'"),
    ):
        assert call(line).code == 0, line
    with closing(Database(submitter)) as database:
        History(database).queue.describe(run, name="her", note="hers", tags={"c": "d"})
    stored = call("runs --json").values
    for line in (f"delete {run}", "gc --older-than 0d", "train --workers 0 --images 8"):
        _refused(call(line), line)
    assert call("runs --json").values == stored
    assert "the role ada may submit, retry and change runs, but not train" in call("doctor").out


def test_a_reader_is_refused_in_one_sentence(
    roles: Roles, submitter: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = roles.server.url("tapeworks").replace("//postgres@", "//reader@")
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", address)
    [run] = find_runs(roles.reader, columns=["id"], limit=1).column("id")
    for line in (
        *("submit --images 8", f"retry {run}", f"pause {run}", f"resume {run}"),
        *(f"cancel {run} --yes", f"priority 1 {run}", f"delete {run}"),
        "gc --older-than 0d",
    ):
        _refused(call(line), line)
    for line in ("runs", f"show {run}", "query 'SELECT 1'", "db check"):
        assert call(line).code == 0, line


def _refused(called: Called, line: str) -> None:
    assert called.code == 2, (line, called.err)
    assert "refused this user" in called.last_words, line
    assert "Traceback" not in called.err
