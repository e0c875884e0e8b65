"""docker-compose.yml without Docker: its own commands, variables and health checks, run for real.

Every service is started as a process of this machine with the command and the environment that the
file gives it. Only places are replaced: the name and port of Redis, and the volume's path.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from tapeworks.__main__ import COMMANDS
from tapeworks.redis_server import executable
from workers.supervisor import DRAIN_SECONDS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

#: What the image starts with; a service's command follows it.
ENTRYPOINT: list[str] = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])

#: One-off commands as the file's head tells them: (service, arguments).
DOCUMENTED = re.findall(r"^# +docker compose run --rm (\w+) (.+)$", TEXT, re.MULTILINE)

#: Where the file has Redis listen.
REDIS_PORT = "6379"

#: Seconds between two looks at a service, and that a one-off command may take.
LOOK_SECONDS = 0.2
ONE_OFF_SECONDS = 120.0

OURS = [name for name, service in SERVICES.items() if "build" in service]

every_service = pytest.mark.parametrize("name", SERVICES)


def seconds(duration: str) -> float:
    """A duration as Compose writes it, such as 1m30s."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|s|m|h)", duration)
    assert "".join(number + unit for number, unit in parts) == duration
    return float(sum(int(number) * units[unit] for number, unit in parts))


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """The named volumes of a service and where they are mounted."""
    return dict(volume.split(":", 1) for volume in service.get("volumes", []))


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it has started, if it still runs."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
    process.wait()


class Stack:
    """The file's services as processes of this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])

    def start(self, name: str) -> None:
        """Start the service with its own command."""
        command = self.command(name, SERVICES[name]["command"])
        with self._log(name).open("wb") as log:
            self._processes[name] = self._begin(name, command, log)

    def wait_until_healthy(self, name: str) -> None:
        """Fail when Docker would call the service unhealthy, or when its process ends."""
        check = SERVICES[name]["healthcheck"]
        patience = seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
        deadline = time.monotonic() + patience
        while not self.is_healthy(name) or self._processes[name].poll() is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._processes[name].wait(LOOK_SECONDS)
                pytest.fail(f"{name} ended with {code}: {self.words(name)}")
            if time.monotonic() > deadline:
                pytest.fail(f"{name} is not healthy after {patience} s: {self.words(name)}")

    def is_healthy(self, name: str) -> bool:
        """Run the service's health check once."""
        check = SERVICES[name]["healthcheck"]
        kind, *command = [self._here(name, part) for part in check["test"]]
        if kind == "CMD-SHELL":
            command = ["/bin/sh", "-c", *command]
        with self._log(f"{name}-health").open("ab") as log:
            process = self._begin(name, command, log)
            try:
                return process.wait(seconds(check["timeout"])) == 0
            except subprocess.TimeoutExpired:
                return False
            finally:
                end(process)

    def one_off(self, name: str, arguments: list[str]) -> str:
        """`docker compose run --rm NAME ARGUMENTS`: what it prints."""
        done = subprocess.run(
            self.command(name, arguments),
            env=self._environment(name),
            cwd=self.home(name),
            capture_output=True,
            text=True,
            check=False,
            timeout=ONE_OFF_SECONDS,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr} {self.words(name)}"
        return done.stdout

    def stop(self, name: str) -> None:
        """SIGTERM, as Docker sends it; fail when Docker would have to kill."""
        process = self._processes[name]
        process.terminate()
        process.wait(seconds(SERVICES[name].get("stop_grace_period", "10s")))

    def kill(self) -> None:
        """End what still runs."""
        for process in self._processes.values():
            end(process)

    def command(self, name: str, arguments: list[str]) -> list[str]:
        """What a container of this service runs; Redis on loopback alone."""
        entrypoint = ENTRYPOINT if name in OURS else []
        only_here = ["--bind", "127.0.0.1"] if name == "redis" else []
        return [self._here(name, part) for part in [*entrypoint, *arguments, *only_here]]

    def words(self, name: str) -> str:
        """What the service and its health checks said at last."""
        logs = [self._log(name), self._log(f"{name}-health")]
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def home(self, name: str) -> Path:
        """In place of the working directory: on the service's volume, or else read-only there."""
        volumes = [self._volume(volume) for volume in mounts(SERVICES[name])]
        home = volumes[0] if volumes else self.directory / "read-only" / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _volume(self, name: str) -> Path:
        return self.directory / "volumes" / name

    def _begin(self, name: str, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=self._environment(name), cwd=self.home(name), stdout=log, stderr=log
        )

    def _environment(self, name: str) -> dict[str, str]:
        """The file's variables and nothing of ours but where programs are."""
        programs = [str(Path(sys.executable).parent), str(executable().parent), os.defpath]
        own = SERVICES[name].get("environment", {})
        here = {key: self._here(name, value) for key, value in own.items()}
        return {"PATH": os.pathsep.join(programs), "HOME": str(self.home(name))} | here

    def _here(self, name: str, text: str) -> str:
        for volume, target in mounts(SERVICES[name]).items():
            text = text.replace(target, str(self._volume(volume)))
        text = text.replace(f"redis:{REDIS_PORT}", f"127.0.0.1:{self._port}").replace("$$", "$")
        return re.sub(rf"\b{REDIS_PORT}\b", self._port, text)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """No service runs yet; none does afterwards."""
    stack = Stack(tmp_path)
    try:
        yield stack
    finally:
        stack.kill()


def test_the_services_get_healthy_train_what_is_submitted_and_stop_in_time(stack: Stack) -> None:
    # Given nothing that runs, no health check says yes.
    assert [name for name in SERVICES if stack.is_healthy(name)] == []

    # When the services are started, each by its own command, every one gets healthy.
    for name in ("redis", "scheduler", "worker"):
        stack.start(name)
        stack.wait_until_healthy(name)

    # Then the documented commands queue a run, follow it to its end and list it.
    told = [stack.one_off(name, shlex.split(arguments)) for name, arguments in DOCUMENTED]
    [run] = json.loads(stack.one_off("scheduler", ["runs", "--json"]))
    assert told[0].strip() == run["id"]
    assert run["status"] == "completed"
    assert run["completed_iterations"] == run["iterations"]
    assert (stack.home("scheduler") / "tapeworks.db").is_file()
    # Keras makes its directory where it may write, and does without one where it may not.
    assert {path.name for path in stack.home("worker").iterdir()} <= {".keras"}

    # And each check says no once what it stands for is gone; every service stops in its time.
    stack.stop("worker")
    assert not stack.is_healthy("worker")
    stack.stop("redis")
    assert not stack.is_healthy("redis")
    assert not stack.is_healthy("scheduler")
    stack.stop("scheduler")


def test_the_documented_commands_submit_a_run_follow_it_and_list_it() -> None:
    assert [arguments.split()[0] for _, arguments in DOCUMENTED] == ["submit", "watch", "runs"]
    assert {name for name, _ in DOCUMENTED} <= set(OURS)


@every_service
def test_every_name_that_a_service_uses_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(mounts(service)) <= set(COMPOSE["volumes"])
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_everything_that_is_declared_is_used() -> None:
    assert {v for service in SERVICES.values() for v in mounts(service)} == set(COMPOSE["volumes"])
    used = {network for service in SERVICES.values() for network in service["networks"]}
    assert used == set(COMPOSE["networks"])


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_the_image_is_a_command_and_has_variables_that_the_product_reads(
    name: str,
) -> None:
    rooms = ("model", "workers", "scheduler", "storage", "tapeworks")
    code = "".join(file.read_text() for room in rooms for file in (ROOT / room).rglob("*.py"))
    assert SERVICES[name]["command"][0] in COMMANDS
    assert set(SERVICES[name]["environment"]) <= set(re.findall(r'"(TAPEWORKS_[A-Z_]+)"', code))


@every_service
def test_every_address_is_a_service_on_a_shared_network_at_the_port_it_listens_on(
    name: str,
) -> None:
    for value in SERVICES[name].get("environment", {}).values():
        if "://" in value:
            address = urlsplit(value)
            other = SERVICES[str(address.hostname)]
            assert set(other["networks"]) & set(SERVICES[name]["networks"])
            assert other["command"][other["command"].index("--port") + 1] == str(address.port)


@every_service
def test_every_path_lies_on_a_volume_that_belongs_to_the_image_s_user(name: str) -> None:
    targets = mounts(SERVICES[name]).values()
    for value in SERVICES[name].get("environment", {}).values():
        if value.startswith("/"):
            assert any(Path(value).is_relative_to(target) for target in targets)
    for target in targets:
        assert f"--home-dir {target} --create-home" in DOCKERFILE


@every_service
def test_every_service_runs_with_the_least_that_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert name in OURS or not service["user"].startswith("0")
    assert not {"ports", "privileged", "cap_add", "env_file", "network_mode"} & set(service)


@every_service
def test_every_image_has_a_version_or_is_built_here(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert (tag == "local") == (name in OURS)
    assert tag not in {"", "latest"}


def test_nothing_secret_and_nothing_from_the_caller_s_environment_stands_in_the_file() -> None:
    assert not re.search(r"://[^/\s]*@|passw|secret|token", TEXT, re.IGNORECASE)
    assert "$" not in TEXT.replace("$$", "")


def test_redis_keeps_what_it_is_given_and_stores_nothing() -> None:
    command = " ".join(part or '""' for part in SERVICES["redis"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert '--save ""' in command
    assert "--appendonly no" in command
    assert COMPOSE["networks"]["queue"]["internal"] is True
    assert SERVICES["redis"]["networks"] == ["queue"]


def test_a_worker_has_longer_to_stop_than_its_processes_have_to_drain() -> None:
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > DRAIN_SECONDS
