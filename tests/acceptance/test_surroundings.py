"""Independence of the results from whatever lies in the directory where a user works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from storage.history import History
from storage.tables import runs
from tapeworks.entry import part_paths
from tests.support.processes import ROOT, Start
from tests.support.training import settings, submitted

#: A fingerprint that no worker here has.
FOREIGN = "0" * 16


@pytest.fixture
def paused(places: Path) -> str:
    """A run that was begun on another kind of machine."""
    history = History.open(places / "runs.db")
    run = submitted(history, settings(iterations=2))
    with history.database.write() as connection:
        values = {"fingerprint": FOREIGN, "status": "paused"}
        connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    history.database.close()
    return run.id


def test_modules_of_the_users_own_do_not_get_in_the_workers_way(start: Start, places: Path) -> None:
    for name in ("model", "storage", "redis", "celery", "tensorflow", "numpy", "random"):
        (places / f"{name}.py").write_text("raise RuntimeError('of the user')\n")
    train = start("train", "--iterations", "2", "--workers", "1", "--json")
    assert train.ended() == 0, train.err
    assert json.loads(train.out)["status"] == "completed"


@pytest.mark.parametrize("name", ["loop", 300 * "a"])
def test_a_directory_on_the_path_that_cannot_be_looked_into_is_left_there(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = str(tmp_path / name)
    assert part_paths([path]) == ([path], set())


def test_python_m_takes_no_modules_of_the_users_own(places: Path) -> None:
    for name in ("model", "click", "numpy", "redis"):
        (places / f"{name}.py").write_text("raise RuntimeError('of the user')\n")
    ran = subprocess.run(
        [sys.executable, "-m", "tapeworks", "runs"],
        cwd=places,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (
        0,
        "There is no run yet; start one with: tapeworks train\n",
    )


@pytest.mark.parametrize("first", ["", "import model; "])
def test_a_module_of_a_programs_own_that_hides_a_package_is_named(first: str, places: Path) -> None:
    (places / "model.py").write_text("")
    ran = subprocess.run(
        [sys.executable, "-c", f"{first}import tapeworks; tapeworks.connect()"],
        cwd=places,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    words = f"ImportError: {places / 'model.py'} hides the package 'model' of Tapeworks."
    assert ran.stderr.splitlines()[-1].startswith(words)


def test_packages_of_another_project_on_the_path_do_not_get_in_the_way(places: Path) -> None:
    other, useful = places / "other", places / "useful"
    (other / "workers").mkdir(parents=True)
    (other / "workers" / "__init__.py").touch()
    (other / "model.py").write_text("raise RuntimeError('of another project')\n")
    useful.mkdir()
    paths = [str(useful), str(other), str(ROOT)]
    assert part_paths(paths) == ([str(useful), str(ROOT)], {other.resolve()})
    ran = subprocess.run(
        [sys.executable, "-P", "-c", "from tapeworks.entry import main; main()", "runs"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (
        0,
        "There is no run yet; start one with: tapeworks train\n",
    )


#: What other programs leave in a shell: another Celery project, a notebook, measurements.
OF_OTHER_PROGRAMS = {
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_READ_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_WRITE_URL": "redis://127.0.0.1:1/0",
    "CELERY_RESULT_BACKEND": "django-db",
    "CELERY_CONFIG_MODULE": "celeryconfig",
    "CELERY_LOADER": "nowhere.Loader",
    "CELERY_WORKER_REVOKES_MAX": "many",
    "APP": "nowhere",
    "BROKER_URL": "redis://127.0.0.1:1/0",
    "DJANGO_SETTINGS_MODULE": "nowhere.settings",
    "PICKLE_PROTOCOL": "new",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "KERAS_BACKEND": "jax",
    "TF_XLA_FLAGS": "--nonsense",
    "XLA_FLAGS": "--nonsense",
    "ONEDNN_VERBOSE": "all",
}


def test_neither_variables_nor_files_of_other_programs_change_a_run(
    start: Start, places: Path
) -> None:
    (places / "celeryconfig.py").write_text("raise RuntimeError('of another program')\n")
    (places / "matplotlibrc").write_bytes(b"\xff\xfe no text")
    keras = places / "home" / ".keras"
    keras.mkdir(parents=True)
    (keras / "keras.json").write_text('{"floatx": "bfloat77"}')
    train = start("train", "--iterations", "2", "--workers", "1", "--json", **OF_OTHER_PROGRAMS)
    assert train.ended() == 0, train.err
    assert json.loads(train.out)["status"] == "completed"
    assert (places / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (keras / "keras.json").read_text() == '{"floatx": "bfloat77"}'


def test_a_run_of_another_kind_of_machine_is_not_resumed_by_workers_of_this_one(
    start: Start, paused: str
) -> None:
    resume = start("train", "--resume", paused, "--workers", "1")
    assert resume.ended() == 1
    assert FOREIGN in resume.err
    assert "other bits" in resume.err
    assert "Traceback" not in resume.err
