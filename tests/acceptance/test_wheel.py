"""The wheel alone, installed and used outside of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tapeworks.storage.migrations import REVISION
from tests.support.processes import ROOT

ROOMS = ("model", "wire", "workers", "scheduler", "storage", "tapeworks")

#: What the rooms hold beside Python's own files.
DATA = {
    "tapeworks/py.typed",
    "tapeworks/storage/migrations/script.py.mako",
    "tapeworks/web/questions.sql",
} | {
    file.relative_to(ROOT).as_posix()
    for kind in ("static", "templates")
    for file in (ROOT / "tapeworks" / "web" / kind).iterdir()
}

#: What Python leaves beside its files.
PASSED_OVER = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from nothing but what is in the repository."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for room in (*ROOMS, "src"):
        shutil.copytree(ROOT / room, source / room, symlinks=True, ignore=PASSED_OVER)
    for name in ("benchmarks", "tests"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, source)
    [built] = wheels.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and the dependencies of this one."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = directory / "lib" / version / "site-packages"
    # Only the directory: where this environment finds the repository stands in a .pth file of its
    # own, which is not read from there.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip("--python", directory / "bin" / "python", "install", "--no-deps", wheel)
    return directory / "bin"


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PIP_NO_INDEX": "1"})


def run(program: Path, *arguments: str, places: Path) -> str:
    """Return what a new user's command prints, in a directory of their own with an empty home."""
    home = places / "home"
    home.mkdir(exist_ok=True)
    process = subprocess.run(
        [program, *arguments],
        cwd=places,
        env={"HOME": str(home), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_wheel_holds_the_rooms_with_all_their_files_and_nothing_else(wheel: Path) -> None:
    home = ROOT / "tapeworks"
    modules = {
        str(room.relative_to(ROOT) / file.relative_to(room.resolve()))
        for room in (home, *(home / room for room in ROOMS if room != home.name))
        for file in room.resolve().rglob("*.py")
    }
    assert any("migrations/versions" in module for module in modules)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        [metadata] = [name for name in archive.namelist() if name.endswith("METADATA")]
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
        assert "Requires-Python: <3.13,>=3.11" in archive.read(metadata).decode()
    assert names == modules | DATA


def test_the_modules_are_those_of_the_wheel(environment: Path, tmp_path: Path) -> None:
    names = ["tapeworks", *(f"tapeworks.{room}" for room in ROOMS if room != "tapeworks")]
    code = f"import {', '.join(names)}; print(*[room.__file__ for room in ({', '.join(names)})])"
    files = run(environment / "python", "-c", code, places=tmp_path).split()
    assert all(Path(file).is_relative_to(environment.parent) for file in files), files


def test_a_new_user_trains_outside_of_the_repository(environment: Path, tmp_path: Path) -> None:
    tapeworks = environment / "tapeworks"
    assert "Start with: tapeworks train" in run(tapeworks, "--help", places=tmp_path)
    assert REVISION in run(tapeworks, "db", "upgrade", places=tmp_path)
    line = "train --dataset digits --images 20 --iterations 2 --workers 1"
    trained = run(tapeworks, *line.split(), places=tmp_path)
    assert "completed after 2 iterations" in trained
    assert (tmp_path / "loss_curve.png").is_file()
    assert "completed" in run(tapeworks, "runs", places=tmp_path)


def test_the_wheel_serves_its_pages_and_files(environment: Path, tmp_path: Path) -> None:
    script = """
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import WebOptions
from starlette.testclient import TestClient
database = Database("runs.db")
database.upgrade()
with TestClient(create_app(History(database), WebOptions()), "http://localhost") as client:
    for path in ("/runs", "/static/app.css", "/static/live.js", "/static/uPlot-1.6.32.esm.js"):
        print(client.get(path).status_code, len(client.get(path).content) > 500)
database.close()
"""
    assert run(environment / "python", "-c", script, places=tmp_path) == "200 True\n" * 4
