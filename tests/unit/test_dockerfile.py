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

ROOT = Path(__file__).resolve().parents[2]

#: A requirement's first line in a lock.
REQUIREMENT = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==\S+", re.MULTILINE)


def steps(instruction: str) -> list[str]:
    """What follows each occurrence of this instruction, continuation lines joined."""
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
    """Whether .dockerignore lets this name through; its last matching line decides."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = True
    for line in (line for line in lines if line and not line.startswith("#")):
        if fnmatch.fnmatch(name, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def test_every_base_image_has_a_version_that_the_project_supports() -> None:
    images = [step.split()[0] for step in steps("FROM")]
    assert len(images) == 2
    assert len(set(images)) == 1, "the environment is copied between equal Pythons"
    assert re.fullmatch(r"python:3\.(11|12)-slim-\w+", images[0])


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    for name in copied():
        assert (ROOT / name).exists(), name
        assert sent_to_the_builder(name), name


@pytest.mark.parametrize("name", [".git", ".venv", "tests", "docs", "benchmarks", ".env"])
def test_what_the_image_does_not_need_is_not_sent_to_the_builder(name: str) -> None:
    assert not sent_to_the_builder(name)


def test_the_lock_is_installed_by_its_hashes_and_nothing_is_built_from_source() -> None:
    dependencies, own = pip_installs()
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(dependencies)
    assert dependencies[-2:] == ["--requirement", "requirements.lock"]
    assert {"--no-deps", "--no-build-isolation"} <= set(own)


def test_every_requirement_in_the_lock_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    starts = [match.start() for match in REQUIREMENT.finditer(text)]
    assert len(starts) > len(project()["project"]["dependencies"])
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        assert "--hash=sha256:" in text[start:end], text[start:end]


def test_the_lock_holds_every_dependency_of_the_project_and_what_builds_it() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {match["name"] for match in REQUIREMENT.finditer(text)}
    wanted = [*project()["project"]["dependencies"], *project()["build-system"]["requires"]]
    assert {re.split(r"[\[>=;]", requirement)[0] for requirement in wanted} <= locked


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
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    rooms = [include.removesuffix("*") for include in _included()]
    code = {file.relative_to(source) for room in rooms for file in (source / room).rglob("*.py")}

    command = [sys.executable, "-m", "pip", "install", *pip_installs()[-1]]
    options = ["--quiet", "--no-index", "--disable-pip-version-check", "--target", str(installed)]
    subprocess.run([*command, *options], cwd=source, check=True, timeout=120)

    assert {room for room in rooms if (source / room / "__init__.py").exists()} == set(rooms)
    assert {file for file in code if (installed / file).exists()} == code
    assert (installed / "bin" / "tapeworks").exists()


def _included() -> list[str]:
    included: list[str] = project()["tool"]["setuptools"]["packages"]["find"]["include"]
    return included
