"""Independence of the results from whatever lies in the directory where a user works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from tapeworks.storage.history import History
from tapeworks.storage.tables import runs
from tests.support.processes import Start
from tests.support.training import settings, submitted

#: A fingerprint that no worker here has.
FOREIGN = "0" * 16


@pytest.fixture
def paused(places: Path) -> str:
    """a run that began on another kind of machine."""
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


def test_python_m_takes_no_modules_of_the_users_own(places: Path) -> None:
    for name in ("model", "click", "numpy", "redis"):
        (places / f"{name}.py").write_text("raise RuntimeError('of the user')\n")
    ran = ran_by_python(places, "-m", "tapeworks", "runs")
    assert (ran.returncode, ran.stderr.partition(" at ")[0]) == (
        4,
        "tapeworks: There is no database",
    )


#: A user's own program beside modules of its own that have the names of our rooms.
PROGRAM = """
import model, scheduler, storage.rows, wire, workers
import tapeworks
from tapeworks.model.config import RunConfig

assert {one.OWN for one in (model, scheduler, storage.rows, wire, workers)} == {True}
with tapeworks.connect() as client:
    run = client.submit(tapeworks.RunConfig(dataset="digits", images=10, iterations=2))
    print(run.id, [one.id for one in client.runs()] == [run.id])
"""


@pytest.mark.parametrize("first", ["own", "ours"])
def test_a_program_may_have_modules_of_the_rooms_names(first: str, places: Path) -> None:
    for name in ("model", "scheduler", "wire", "workers"):
        (places / f"{name}.py").write_text("OWN = True\n")
    for name in ("storage", "tapeworks"):  # no __init__.py: a namespace, which any package precedes
        (places / name).mkdir()  # the second one as a clone beside the program, with its rooms
    (places / "tapeworks" / "storage").mkdir()
    (places / "storage" / "rows.py").write_text("OWN = True\n")
    (places / "program.py").write_text(
        PROGRAM if first == "own" else f"import tapeworks\n{PROGRAM}"
    )
    ran = ran_by_python(places, "program.py")
    told = ran.stderr.partition(":")[0]
    assert (ran.returncode, told, ran.stdout.split()[-1:]) == (0, "Made a new database", ["True"])
    listed = ran_by_python(places, "-m", "tapeworks", "runs")
    assert ran.stdout.split()[0] in listed.stdout, listed.stderr


def ran_by_python(places: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=places, capture_output=True, text=True, check=False)


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
