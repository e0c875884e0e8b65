"""`tapeworks doctor` on databases, data sets and TensorFlow's variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from tapeworks.doctor.database import durability_findings, file_findings, room_findings
from tapeworks.doctor.findings import Finding
from tapeworks.storage.connection.database import Database
from tests.support.calls import Call
from tests.support.healthy import PREFIX, told

pytestmark = pytest.mark.slow

# The database


def set_revision(database: Database, revision: str) -> None:
    database.upgrade()
    with database.write() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    database.close()


@pytest.mark.parametrize(
    ("revision", "found", "remedy"),
    [("0000", "is at revision 0000", "db upgrade"), ("0999", "newer", "Upgrade Tapeworks here")],
)
def test_tables_of_another_version(
    revision: str, found: str, remedy: str, call: Call, cluster: SimpleNamespace
) -> None:
    set_revision(Database(cluster.places / "runs.db"), revision)
    told(call("doctor"), "problem", "database", found, remedy, 2)


def test_no_database_that_could_be_opened(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", str(cluster.places))
    told(call("doctor"), "problem", "database", "a directory", "Name another file", 4)
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", "postgresql://u:hush@127.0.0.1:1/none")
    called = call("doctor")
    told(called, "problem", "database", "efused", "that the server is running", 4)
    assert "hush" not in called.out


def test_a_database_that_another_program_keeps_locked(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapeworks.storage.connection.engines.BUSY_TIMEOUT_MS", 100)
    other = Database(cluster.places / "runs.db")
    other.upgrade()
    with other.write():
        told(call("doctor"), "problem", "database", "locked", "end that program", 4)
    other.close()


def test_postgresql_without_tables_and_with_commits_that_may_be_lost(
    call: Call, cluster: SimpleNamespace, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", postgres_url)
    told(
        call("doctor"),
        "problem",
        "database",
        "has no tables of Tapeworks",
        "tapeworks db upgrade",
        2,
    )
    database = Database(postgres_url)
    database.upgrade()
    database.close()
    called = call("doctor")
    told(called, "warning", "database", "fsync off", "ALTER SYSTEM SET fsync = on")
    assert "Redis, the database" in called.out


def only(findings: Iterator[Finding]) -> Finding:
    [one] = findings
    return one


def test_places_that_are_no_good_for_a_database(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    found = [*file_findings(file, {"/": "ext4", str(tmp_path): "nfs4"})]
    assert "network file system, nfs4" in found[0].found
    assert "PostgreSQL" in found[0].remedy
    assert not any("network" in one.found for one in file_findings(file, {"/": "ext4"}))
    full = only(room_findings(tmp_path, 10**6))
    assert (full.level, "tapeworks gc" in full.remedy) == ("warning", True)
    assert list(room_findings(tmp_path, 10**12)) == []
    odd = only(durability_findings({"server_encoding": "SQL_ASCII", "fsync": "on"}))
    assert "createdb --encoding UTF8" in odd.remedy


# Data sets, threads


@pytest.mark.parametrize(
    ("make", "found", "remedy"),
    [
        (lambda place: None, "There is no directory", "Give another with --data-dir"),
        (Path.mkdir, "no MNIST files", "Expected train-images-idx3-ubyte"),
        (lambda place: damaged(place), "mnist.npz", "mnist.npz"),
    ],
    ids=["missing", "empty", "damaged"],
)
def test_a_directory_without_mnist(
    make: Callable[[Path], None],
    found: str,
    remedy: str,
    call: Call,
    cluster: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = cluster.places / "mnist"
    make(place)
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(place))
    told(call("doctor"), "problem", "data set", found, remedy, 2)


def test_a_directory_of_cifar_10_needs_no_mnist(
    call: Call, cluster: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cluster.places / "cifar"
    place.mkdir()
    (place / "data_batch_2.bin").write_bytes(bytes(2 * 3073))
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(place))
    called = call("doctor")
    assert "cifar10, 2 images of 32 × 32" in called.out
    assert "MNIST" not in called.out

    (place / "test_batch.bin").write_bytes(bytes(3072))
    told(call("doctor"), "problem", "data set", "test_batch.bin is damaged", "Expected", 2)
    (place / "test_batch.bin").unlink()
    (place / "mnist.npz").write_text("no archive")
    told(call("doctor"), "problem", "data set", "mnist.npz", "mnist.npz", 2)


def damaged(place: Path) -> None:
    place.mkdir()
    (place / "mnist.npz").write_text("no archive")


@pytest.mark.parametrize(
    ("name", "value", "found", "remedy"),
    [
        ("OMP_NUM_THREADS", "8", "does nothing", "--processes N"),
        ("TF_ENABLE_ONEDNN_OPTS", "0", "is overridden with 1", "Unset"),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true", "is overridden", "Unset XLA_FLAGS"),
        ("ONEDNN_MAX_CPU_ISA", "SSE41", "gives other bits", "alike on all machines"),
    ],
)
def test_a_variable_of_tensorflow(
    name: str,
    value: str,
    found: str,
    remedy: str,
    call: Call,
    cluster: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    told(call("doctor"), "warning", "threads", f"{name}={value} {found}", remedy)
