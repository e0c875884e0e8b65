"""A user's directory full of wrong files, and the judgement over a wrong call."""

from __future__ import annotations

import gzip
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from tapeworks.model import parameters
from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.local import LocalDispatcher
from tests.support.calls import Called
from tests.support.training import database, drive, settings, submitted

#: A small network, so that the runs of the database cost nothing.
SMALL = {"images": 8, "iterations": 2, "image_side": 6, "kernel_sizes": (3,), "filters": 1}

#: Names of the database's runs.
DONE, WAITING = "done", "waiting"

#: Any run's id starts so.
CENTURY = "20"


def two_runs_in(directory: Path) -> Path:
    """A database with a completed run and one that waits in the queue."""
    history, config = database(directory), settings(**SMALL)
    drive(history, LocalDispatcher(), submitted(history, config, name=DONE))
    submitted(history, config, name=WAITING)
    history.database.close()
    return directory / "runs.db"


def put_wrong_files(places: Path) -> None:
    """All kinds of them."""
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
    np.savez(places / "small.npz", images=images[:, :9, :8], labels=labels)


def _wrong_parameters(places: Path) -> None:
    right = parameters.initial(RunConfig().built_in, seed=0)
    for name, change in {
        "nan": {"conv_2": np.full_like(right["conv_2"], np.nan)},
        "shapes": {"conv_3": right["conv_3"][:, :5]},
        "doubles": {"dense_1": right["dense_1"].astype(np.float64)},
        "surplus": {"conv_4": right["conv_3"]},
    }.items():
        (places / f"{name}.safetensors").write_bytes(parameters.to_bytes(right | change))


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
