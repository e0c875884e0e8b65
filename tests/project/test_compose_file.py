"""The Compose files at a look: all that they name exists, and a fault that is planted is found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.compose.project import ROOT, load, variables
from tests.support.compose.rules import problems

ENVIRONMENT = {"REDIS_TLS_ADDRESS": "10.0.0.5", "REDIS_TLS_HOST": "10.0.0.5"}

#: The files as they are used together.
PROJECTS = (
    ("docker-compose.yml",),
    ("docker-compose.yml", "compose.tls.yml"),
    ("compose.worker.yml",),
)
FILES = ("docker-compose.yml", "compose.worker.yml", "compose.tls.yml")

#: A line of .env.example: a variable, and its default or an example.
VARIABLE = re.compile(r"^#(\w+)=(.*)$", re.MULTILINE)

every_project = pytest.mark.parametrize("names", PROJECTS, ids="+".join)


@every_project
def test_nothing_is_wrong_with_it(names: tuple[str, ...]) -> None:
    assert problems(load(*names, environment=ENVIRONMENT)) == []


def test_they_are_what_the_published_schema_allows(tmp_path: Path) -> None:
    files = [str(ROOT / name) for name in FILES]
    for names in PROJECTS:
        content = load(*names, environment=ENVIRONMENT).content
        files.append(str(tmp_path / f"{'+'.join(names)}.json"))
        Path(files[-1]).write_text(json.dumps(content))
    broken = load(FILES[0]).content
    broken["services"]["worker"]["enviroment"] = {}
    (tmp_path / "broken.json").write_text(json.dumps(broken))

    assert _checked(*files) == 0
    assert _checked(str(tmp_path / "broken.json")) == 1


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_merged_by_a_key_that_stands_twice(name: str) -> None:
    """YAML takes the last of two equal keys without a word."""
    text = (ROOT / name).read_text(encoding="utf-8")
    yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader that is stricter


def test_the_example_has_every_variable_that_the_files_read_and_no_other() -> None:
    example = VARIABLE.findall((ROOT / ".env.example").read_text(encoding="utf-8"))
    read = variables(*FILES)

    assert sorted(name for name, _ in example) == sorted(read)
    for name, shown in example:
        assert read[name] in {shown, None}, f"{name} is {shown} by default: {read[name]}"


def test_what_has_no_default_is_asked_for_by_name() -> None:
    for name in ("REDIS_TLS_ADDRESS", "REDIS_TLS_HOST"):
        with pytest.raises(AssertionError, match=name):
            load(*FILES, environment=ENVIRONMENT | {name: ""})


def test_tls_adds_to_redis_and_takes_nothing_away() -> None:
    plain = load(FILES[0]).services["redis"]
    opened = load(*PROJECTS[1], environment=ENVIRONMENT).services["redis"]
    same = plain["command"]

    assert opened["command"][: len(same)] == same
    assert set(plain["secrets"]) < set(opened["secrets"])
    assert set(plain["networks"]) < set(opened["networks"])


def test_the_worker_of_another_machine_is_the_worker_but_for_its_redis() -> None:
    """Find differences only in Redis' place and identity, and in waiting for local services."""
    home = load(FILES[0]).services["worker"]
    away = load(FILES[1], environment=ENVIRONMENT).services["worker"]
    changed = {key for key in home.keys() | away.keys() if home.get(key) != away.get(key)}

    assert changed == {"environment", "secrets", "networks", "depends_on"}
    assert away["environment"].keys() == home["environment"].keys()


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("services.worker.command", ["worker", "--process", "1"], "--process'"),
        ("services.migrate.command", ["db", "upgrad"], "upgrad"),
        ("services.scheduler.environment.TAPEWORKS_REDIS_ULR", "redis://redis", "nobody reads"),
        (
            "services.worker.environment.TAPEWORKS_REDIS_URL",
            "redis://worker@redis:6380/0",
            "reaches for redis at port 6380",
        ),
        (
            "services.worker.environment.TAPEWORKS_REDIS_URL",
            "redis://worker:hush@redis:6379/0",
            "is told a secret",
        ),
        (
            "services.scheduler.environment.TAPEWORKS_DATABASE_URL",
            "postgresql://tapeworks@db:5432/tapeworks",
            "db, which is no service",
        ),
        ("services.worker.healthcheck.test", ["CMD", "true"], "does not ask for a worker"),
        ("services.scheduler.healthcheck.test", ["CMD", "tapeworks", "healt"], "healt"),
        ("services.scheduler.secrets", ["database_password", "signing_key"], "is not given"),
        ("services.scheduler.depends_on", {}, "does not wait for redis"),
        (
            "services.scheduler.depends_on.migrate",
            {"condition": "service_started"},
            "waits until migrate has service_started",
        ),
        ("services.worker.networks", ["queue", "database"], "reaches the database"),
        ("services.worker.networks", ["database"], "shares no network with redis"),
        ("services.worker.stop_grace_period", "5s", "5.0 s to stop"),
        ("services.worker.cap_drop", [], "worker has cap_drop []"),
        (
            "services.worker.deploy.resources.limits",
            {"cpus": "1"},
            "no limit of",
        ),
        ("services.redis.ports", ["6379:6379"], "redis publishes 6379:6379"),
        ("services.web.ports", ["127.0.0.1:8470:8470"], "web publishes 127.0.0.1:8470:8470"),
        ("services.web.command", ["web", "--hsot", "0.0.0.0"], "--hsot"),
        ("services.flower.ports", ["5555:5555"], "flower publishes 5555:5555"),
        ("services.redis.command", ["--port", "6379", "--maxmemory", "1gb"], "asks nobody"),
        ("services.redis.command", ["--maxmemory", "1gb"], "its clients may hold more"),
        ("services.redis.command", ["--maxmemory", "1gb"], "whatever a client does not read"),
        ("services.postgres.user", "0:0", "postgres runs as root"),
        ("services.postgres.image", "postgres:latest", "postgres:latest"),
        ("networks.queue.internal", False, "redis is on a network that leads out"),
        ("secrets.signing_key.file", "./secrets/signing.key", "nobody makes"),
        ("volumes.history", None, "history of the volumes is not used"),
    ],
)
def test_a_planted_fault_is_found(path: str, value: Any, found: str) -> None:
    broken = load(FILES[0])
    *places, last = path.split(".")
    inner = broken.content
    for place in places:
        inner = inner[place]
    inner[last] = value

    assert found in "\n".join(set(problems(broken)) - set(problems(load(FILES[0]))))


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(names) == len(set(names)), f"{node.start_mark}: {names}"
        return super().construct_mapping(node, deep)


def _checked(*files: str) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*command, *files], capture_output=True, timeout=60).returncode
