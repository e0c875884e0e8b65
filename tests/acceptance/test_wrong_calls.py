"""Wrong calls: the right exit code, one sentence, no traceback, and nothing left behind."""

from __future__ import annotations

import gzip
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis

from model import parameters
from model.config import RunConfig
from scheduler.local_dispatcher import LocalDispatcher
from tapeworks.redis_server import RedisServer
from tests.support.calls import Call, Called
from tests.support.fleet import Fleet
from tests.support.processes import ROOT
from tests.support.training import database, drive, settings, submitted

#: A small network, so that the runs of the database cost nothing.
SMALL = {"images": 8, "iterations": 2, "image_side": 6, "kernel_sizes": (3,), "filters": 1}

#: Names of the database's runs.
DONE, WAITING = "done", "waiting"

#: Any run's id starts so.
CENTURY = "20"


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a completed run and one that waits in the queue."""
    directory = tmp_path_factory.mktemp("two-runs")
    history, config = database(directory), settings(**SMALL)
    drive(history, LocalDispatcher(), submitted(history, config, name=DONE))
    submitted(history, config, name=WAITING)
    history.database.close()
    return directory / "runs.db"


@pytest.fixture
def desk(places: Path, two_runs: Path) -> Path:
    """A user's directory with that database and all kinds of wrong files."""
    shutil.copy(two_runs, places / "runs.db")
    (places / "directory.png").mkdir()
    (places / "empty").mkdir()
    (places / "text").write_text("no database, no archive, no parameters")
    (places / "text.npz").write_text("no archive")
    _wrong_data_sets(places)
    _wrong_parameters(places)
    (places / "list.yaml").write_text("- images\n- 5\n")
    (places / "broken.yaml").write_text("images: [5\n")
    (places / "misspelt.yaml").write_text("learning_rat: 0.1\n")
    (places / "broken.toml").write_text("images = = 5\n")
    (places / "wrong.toml").write_text('images = "many"\n')
    (places / "settings.ini").write_text("images = 5\n")
    (places / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    return places


def _idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def _wrong_data_sets(places: Path) -> None:
    images, labels = np.zeros((20, 28, 28), np.uint8), np.tile([3, 6], 10).astype(np.uint8)
    for name, image_bytes, label_bytes in [
        ("truncated", _idx(images)[:-1], _idx(labels)),
        ("different", _idx(images), _idx(labels[:-1])),
        ("other", b"\x89PNG" + bytes(100), _idx(labels)),
        ("damaged", gzip.compress(_idx(images))[:-9], _idx(labels)),
    ]:
        (places / name).mkdir()
        (places / name / "train-images-idx3-ubyte").write_bytes(image_bytes)
        (places / name / "train-labels-idx1-ubyte").write_bytes(label_bytes)
    np.savez(places / "nameless.npz", images)
    np.savez(places / "flat.npz", images=images.reshape(20, -1), labels=labels)
    np.savez(places / "small.npz", images=images[:, :9, :9], labels=labels)


def _wrong_parameters(places: Path) -> None:
    right = parameters.initial(RunConfig().network, seed=0)
    for name, change in {
        "nan": {"conv_2": np.full_like(right["conv_2"], np.nan)},
        "shapes": {"conv_3": right["conv_3"][:, :5]},
        "doubles": {"dense_1": right["dense_1"].astype(np.float64)},
        "surplus": {"conv_4": right["conv_3"]},
    }.items():
        (places / f"{name}.safetensors").write_bytes(parameters.to_bytes(right | change))


#: Command line, exit code, and words of the sentence.
WRONG: list[tuple[str, int, str]] = [
    # What is trained on
    ("train --dataset cifar", 2, "no data set named 'cifar'"),
    ("train --dataset digit", 2, "Did you mean digits?"),
    ("train --dataset nowhere.npz", 2, "no file nowhere.npz"),
    ("train --dataset text.npz", 2, "not an .npz file"),
    ("train --dataset nameless.npz", 2, "no array 'images'"),
    ("train --dataset flat.npz", 2, "Expected images of 3 dimension(s)"),
    ("train --dataset small.npz --images 4", 2, "too small"),
    ("train --dataset mnist --data-dir nowhere", 2, "no directory nowhere"),
    ("train --dataset mnist --data-dir empty", 2, "no MNIST files in empty"),
    ("train --dataset mnist --data-dir truncated", 2, "truncated"),
    ("train --dataset mnist --data-dir different", 2, "20 images and 19 labels"),
    ("train --dataset mnist --data-dir other", 2, "not an IDX file"),
    ("train --dataset mnist --data-dir damaged", 2, "damaged gzip"),
    ("train --classes 3", 2, "classes"),
    ("train --classes 3,3", 2, "different classes"),
    ("train --classes 3,11", 2, "no class 11"),
    ("train --classes three,six", 2, "classes"),
    ("train --images 0", 2, "images=0"),
    ("train --images -5", 2, "images=-5"),
    ("train --images 100000", 2, "Expected at least 100000"),
    ("train --images 1.5", 2, "images=1.5"),
    ("train --test-images 5000", 2, "test_images=5000"),
    # How
    ("train --iterations 0", 2, "iterations=0"),
    ("train --learning-rate -0.1", 2, "learning_rate=-0.1"),
    ("train --learning-rate 0", 2, "learning_rate=0"),
    ("train --learning-rate nan", 2, "learning_rate=nan"),
    ("train --learning-rate inf", 2, "learning_rate=inf"),
    ("train --kernel-sizes 30", 2, "leave no pixel"),
    ("train --unfolding sideways", 2, "unfolding=sideways"),
    ("train --gradients none", 2, "gradients=none"),
    ("train --shards 0", 2, "shards=0"),
    ("train --microbatch-size 0", 2, "microbatch_size=0"),
    ("train --checkpoint-every 0", 2, "checkpoint_every=0"),
    ("train --seed -1", 2, "seed=-1"),
    ("train --workers -1", 2, "--workers"),
    ("train --workers two", 2, "--workers"),
    ("train --stop-after 0", 2, "--stop-after"),
    ("train --plot curve.gif", 2, "ending in .png or .svg"),
    ("train --plot nowhere/curve.png", 2, "nowhere"),
    ("train --plot directory.png", 2, "a directory"),
    ("train --plot text/curve.png", 2, "does not exist"),
    ("train --name 'two\nlines'", 2, "name"),
    ("train --name ''", 2, "name"),
    (f"train --name {'x' * 81}", 2, "name"),
    # Files
    ("train --config nowhere.yaml", 2, "cannot be read"),
    ("train --config directory.png", 2, ".toml, .yaml or .yml"),
    ("train --config list.yaml", 2, "settings by name"),
    ("train --config broken.yaml", 2, "cannot be parsed"),
    ("train --config binary.yaml", 2, "not UTF-8"),
    ("train --config misspelt.yaml", 2, "Did you mean learning_rate?"),
    ("train --config broken.toml", 2, "cannot be parsed"),
    ("train --config wrong.toml", 2, "images=many"),
    ("train --config settings.ini", 2, ".toml, .yaml or .yml"),
    ("train --init-from nowhere.safetensors", 2, "cannot be read"),
    ("train --init-from text", 2, "not a safetensors file"),
    ("train --init-from nan.safetensors", 2, "conv_2 holds a NaN"),
    ("train --init-from shapes.safetensors", 2, "conv_3"),
    ("train --init-from doubles.safetensors", 2, "float64"),
    ("train --init-from surplus.safetensors", 2, "conv_4"),
    ("submit --dataset cifar --images 0", 2, "images=0"),
    ("submit --init-from shapes.safetensors", 2, "conv_3"),
    ("submit --config misspelt.yaml", 2, "Did you mean learning_rate?"),
    ("submit --name 'two\nlines'", 2, "name"),
    # Runs
    ("train --resume nothing", 3, "no run 'nothing'"),
    (f"train --resume {DONE}", 2, "completed"),
    (f"train --resume {WAITING} --images 5", 2, "--resume"),
    ("show nothing", 3, "no run 'nothing'"),
    ("show ''", 3, "no run ''"),
    (f"show {CENTURY}", 2, "several share"),
    (f"show {DONE} --events --ledger", 2, "exclude each other"),
    ("watch nothing", 3, "no run 'nothing'"),
    ("plot nothing", 3, "no run 'nothing'"),
    (f"plot {DONE} nothing", 3, "no run 'nothing'"),
    (f"plot {WAITING}", 2, "no iteration"),
    (f"plot {DONE} --output curve.jpeg", 2, "ending in .png or .svg"),
    (f"plot {DONE} --output nowhere/curve.png", 2, "nowhere"),
    ("export nothing", 3, "no run 'nothing'"),
    (f"export {CENTURY}", 2, "several share"),
    (f"export {WAITING}", 2, "no iteration"),
    (f"export {DONE} --to xml", 2, "--to"),
    (f"export {DONE} --to safetensors", 2, "--output"),
    (f"export {DONE} --to csv --after 1", 2, "--after"),
    (f"export {DONE} --to safetensors --output new --after 9", 3, "keeps no parameters after 9"),
    (f"export {DONE} --output nowhere/history.csv", 2, "nowhere"),
    (f"export {DONE} --output directory.png", 2, "a directory"),
    # The command line itself
    ("trian", 2, "trian"),
    ("--images 5", 2, "--images"),
    ("train --imagse 5", 2, "--imagse"),
    ("train --images", 2, "--images"),
    ("train surplus", 2, "surplus"),
    ("show", 2, "RUN"),
    ("plot", 2, "RUN"),
    ("export", 2, "RUN"),
    ("runs --limit 0", 2, "--limit"),
    ("worker --processes 0", 2, "--processes"),
    ("scheduler surplus", 2, "surplus"),
    ("db", 2, "command"),
    ("db sideways", 2, "sideways"),
]


def told_in_one_sentence(called: Called, code: int, words: str) -> None:
    assert called.code == code, called
    [line] = called.err.splitlines()
    assert line.startswith("tapeworks: ")
    assert words in line
    assert called.out == ""


def files(places: Path) -> set[Path]:
    """Everything that lies there, but for what SQLite keeps beside an open database."""
    return {path for path in places.rglob("*") if not path.name.startswith("runs.db-")}


def contents(file: Path) -> list[str]:
    """All that a database holds, as SQL."""
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


@contextmanager
def nothing_changes(places: Path) -> Iterator[None]:
    """No file comes or goes, no run is stored and none is touched."""
    before = files(places), contents(places / "runs.db")
    yield
    assert (files(places), contents(places / "runs.db")) == before


@pytest.mark.parametrize(
    ("line", "code", "words"), WRONG, ids=[line.replace("\n", " ")[:70] for line, *_ in WRONG]
)
def test_a_wrong_call_is_told_in_one_sentence_and_leaves_nothing(
    line: str, code: int, words: str, desk: Path, call: Call
) -> None:
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, code, words)


@pytest.mark.parametrize("line", ["train --images 0", "show nothing", "trian", "db"])
def test_a_wrong_call_is_told_alike_by_a_process_of_its_own(
    line: str, desk: Path, call: Call
) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tapeworks", *line.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told = Called(code=process.returncode, out=process.stdout, err=process.stderr)
    assert told == call(line)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine at which nobody listens, for as long as the test runs."""
    with socket.socket() as bound:  # bound but not listening: nobody else can take it
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.fixture
def chatting_port() -> Iterator[int]:
    """A port that is in use by a program that is no Redis."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        leaving = threading.Event()

        def answer() -> None:
            while not leaving.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield int(server.getsockname()[1])
        leaving.set()
        thread.join()


NEED_REDIS = ["train --workers 1", "worker", "scheduler", "workers"]


@pytest.mark.parametrize("line", NEED_REDIS)
def test_a_redis_that_is_not_there_is_named(
    line: str, desk: Path, call: Call, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://:hush@127.0.0.1:{closed_port}/0")
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, f"127.0.0.1:{closed_port}")
    assert "hush" not in called.err


@pytest.mark.parametrize("line", NEED_REDIS)
def test_a_port_that_another_program_uses_is_no_redis(
    line: str, desk: Path, call: Call, chatting_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://127.0.0.1:{chatting_port}/0")
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, f"127.0.0.1:{chatting_port}")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1", "http://127.0.0.1", "redis://127.0.0.1:99999/0", "redis://[::1", "redis://h:x"],
)
@pytest.mark.parametrize("line", ["train --workers 1", "workers"])
def test_a_redis_url_of_no_use_is_told(
    url: str, line: str, desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", url)
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, "edis")


def test_a_wrong_password_for_redis_is_told_and_not_shown(
    shared_fleet: Fleet, desk: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = shared_fleet.redis_url.partition("@")[2]
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://:guess@{address}")
    told_in_one_sentence(called := call("workers"), 4, address)
    assert "guess" not in called.err


@pytest.fixture(scope="module")
def forgetful_redis() -> Iterator[RedisServer]:
    """A Redis that drops keys when its memory is full."""
    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.close()
        yield server


@pytest.mark.parametrize("line", ["train --workers 1", "worker", "scheduler"])
def test_a_redis_that_may_drop_keys_is_refused_with_the_remedy(
    line: str,
    desk: Path,
    call: Call,
    forgetful_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", forgetful_redis.url)
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 2, "CONFIG SET maxmemory-policy noeviction")


@pytest.mark.parametrize("line", ["submit", "runs", f"show {DONE}", f"plot {DONE}"])
def test_commands_that_need_no_redis_work_without_one(
    line: str, desk: Path, call: Call, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", f"redis://127.0.0.1:{closed_port}/0")
    assert call(line).code == 0


READERS = ["runs", "show x", "watch x", "plot x", "export x", "submit", "train --workers 0"]


@pytest.mark.parametrize("line", READERS)
@pytest.mark.parametrize(
    ("database_url", "words"),
    [
        ("empty", "empty"),
        ("text", "text"),
        ("/proc/nowhere/runs.db", "/proc/nowhere"),
        ("text/runs.db", "text"),
        ("oracle://localhost/runs", "Expected"),
        ("://", "Expected"),
    ],
)
def test_a_database_of_no_use_is_told(
    line: str,
    database_url: str,
    words: str,
    desk: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", database_url)
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 4, words)


@pytest.mark.parametrize("line", [*READERS, "scheduler", "db check"])
def test_a_database_of_another_version_is_told_with_the_remedy(
    line: str, desk: Path, call: Call, shared_fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", shared_fleet.redis_url)
    with closing(sqlite3.connect(desk / "runs.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
        connection.commit()
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, 2, "tapeworks db upgrade")


def test_a_database_of_a_newer_tapeworks_is_not_upgraded(desk: Path, call: Call) -> None:
    with closing(sqlite3.connect(desk / "runs.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with nothing_changes(desk):
        called = call("db upgrade")
    told_in_one_sentence(called, 2, "newer Tapeworks")


def test_a_picture_that_cannot_be_written_is_told_before_anything_is_trained(
    desk: Path, call: Call
) -> None:
    with nothing_changes(desk):
        called = call("train --workers 0 --plot /proc/curve.png")
    told_in_one_sentence(called, 2, "/proc/curve.png")
