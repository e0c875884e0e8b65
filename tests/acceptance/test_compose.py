"""docker-compose.yml without Docker: its own commands, variables and health checks, run for real.

Each service is a process in a container made of namespaces, with the user, the networks, secrets,
volumes and read-only files that the file gives it. Programs are this machine's.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import product
from tests.support.compose.networks import CONNECT
from tests.support.compose.project import ROOT, Project, load
from tests.support.compose.stack import Stack, in_order

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

#: One-off commands as the file's head tells them: (service, arguments).
DOCUMENTED = re.findall(r"^# +docker compose run --rm (\w+) (.+)$", TEXT, re.MULTILINE)

#: Each service of the file, and a second worker.
CONTAINERS = ("redis", "postgres", "migrate", "scheduler", "worker-1", "worker-2", "flower")

#: Asks for a page, and prints its status.
ASK = """
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:5555/broker").status)
except urllib.error.HTTPError as error:
    raise SystemExit(error.code != 401)
raise SystemExit("anybody may look at the page")
"""

#: Of a health check that is not expected to say yes.
IMPATIENT = {"interval": "1s", "retries": 1, "start_period": "1s"}

Start = Callable[..., Stack]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The file, beside secrets that were made as the documents say."""
    secrets = product.made_secrets(tmp_path)
    assert {path.name for path in secrets.iterdir()} == product.SECRET_FILES
    return load("docker-compose.yml", directory=tmp_path)


@pytest.fixture
def stack(project: Project, tmp_path: Path) -> Iterator[Start]:
    """Containers of the file, or of one that was changed; none is left afterwards."""
    stacks: list[Stack] = []

    def start(*names: str) -> Stack:
        stacks.append(Stack(project, tmp_path, names))
        return stacks[-1]

    yield start
    for each in stacks:
        each.close()


def test_the_services_get_healthy_train_what_is_submitted_and_stop_in_time(stack: Start) -> None:
    # Given containers in which nothing runs, no health check says yes.
    services = stack(*CONTAINERS)
    assert [name for name in CONTAINERS if _is_healthy_while_idle(services, name)] == []

    # When the services are started in the order that the file demands, each gets healthy.
    in_order(services.project, lambda name: _brought_up(services, name))
    services.wait_until_healthy("flower")
    assert services.container("flower").run(["python", "-c", ASK], 10) == 0

    # Then the documented commands queue a run, follow it to its end and list it.
    told = [services.one_off(name, shlex.split(arguments)) for name, arguments in DOCUMENTED]
    [run] = json.loads(services.one_off("scheduler", ["runs", "--json"]))
    assert told[0].strip() == run["id"]
    assert run["status"] == "completed"
    assert run["completed_iterations"] == run["iterations"]
    workers = json.loads(services.one_off("scheduler", ["workers", "--json"]))
    assert {worker["host"] for worker in workers} == {"worker-1", "worker-2"}

    _check_that_networks_are_apart(services)
    _check_that_nothing_is_written_where_it_should_not(services)
    _check_that_each_health_check_says_no_again(services)


def _is_healthy_while_idle(services: Stack, name: str) -> bool:
    if "healthcheck" not in services.service(name):
        return False
    services.idle(name)
    try:
        return services.is_healthy(name)
    finally:
        services.container(name).kill()


def _brought_up(services: Stack, name: str) -> None:
    instances = [container for container in CONTAINERS if container.startswith(name)]
    for instance in instances:
        services.start(instance)
    for instance in instances:
        _wait_for(services, instance)
    if name == "redis":
        services.start("flower")  # which takes a while


def _bring_up(services: Stack, name: str) -> None:
    services.start(name)
    _wait_for(services, name)


def _wait_for(services: Stack, name: str) -> None:
    if services.service(name)["restart"] == "no":
        services.wait_until_completed(name)
    else:
        services.wait_until_healthy(name)


def _check_that_networks_are_apart(services: Stack) -> None:
    def reaches(name: str, other: str, port: str) -> bool:
        addresses = services.networks.addresses(other)
        tried = [["python", "-c", CONNECT, address, port] for address in addresses]
        return any(services.container(name).run(command, 10) == 0 for command in tried)

    assert reaches("scheduler", "postgres", "5432")
    assert reaches("worker-1", "redis", "6379")
    assert not reaches("worker-1", "postgres", "5432")
    assert not reaches("flower", "postgres", "5432")
    assert services.container("worker-1").run(["getent", "hosts", "postgres"], 10) != 0


def _check_that_nothing_is_written_where_it_should_not(services: Stack) -> None:
    for name in ("redis", "postgres", "scheduler", "worker-1", "flower"):
        assert services.container(name).run(["touch", "/usr/here"], 10) != 0
        assert services.container(name).run(["touch", "/run/secrets/here"], 10) != 0
    assert services.container("scheduler").run(["touch", "/var/lib/tapeworks/here"], 10) == 0
    assert services.container("worker-1").run(["touch", "/var/lib/tapeworks/here"], 10) != 0


def _check_that_each_health_check_says_no_again(services: Stack) -> None:
    for name in ("scheduler", "worker-2"):  # alive, and at a standstill
        services.container(name).freeze()
    for name in ("scheduler", "worker-2"):
        services.wait_until_unhealthy(name)
        services.container(name).freeze(signal.SIGCONT)
        services.wait_until_healthy(name)
    for name in ("worker-2", "scheduler"):
        services.stop(name)
        services.idle(name)
        assert not services.is_healthy(name)
    services.stop("postgres")
    services.idle("postgres")
    assert not services.is_healthy("postgres")
    services.stop("redis")  # which the others live on
    services.wait_until_unhealthy("worker-1")
    services.wait_until_unhealthy("flower")
    services.stop("worker-1")
    services.stop("flower")


def test_the_documented_commands_submit_a_run_follow_it_and_list_it() -> None:
    assert [arguments.split()[0] for _, arguments in DOCUMENTED] == ["submit", "watch", "runs"]
    assert {name for name, _ in DOCUMENTED} == {"scheduler"}


def _without(words: list[str], option: str) -> list[str]:
    place = words.index(option)
    return words[:place] + words[place + 2 :]


def _no_acl_file(services: dict[str, Any]) -> None:
    services["redis"]["command"] = _without(services["redis"]["command"], "--aclfile")
    services["redis"]["healthcheck"].update(IMPATIENT)


def _misspelt_option(services: dict[str, Any]) -> None:
    services["redis"]["command"] += ["--maxmemmory", "1mb"]


def _never_passes(services: dict[str, Any]) -> None:
    check = services["redis"]["healthcheck"]
    check["test"][1] = check["test"][1].replace("--user flower", "--user flour")
    check.update(IMPATIENT)


def _another_port(services: dict[str, Any]) -> None:
    check = services["postgres"]["healthcheck"]
    check["test"] = [word.replace("5432", "5433") for word in check["test"]]
    check.update(IMPATIENT)


def _always_passes(services: dict[str, Any]) -> None:
    services["redis"]["healthcheck"]["test"] = ["CMD-SHELL", "redis-cli ping || true"]


def _another_database(services: dict[str, Any]) -> None:
    address = "postgresql://tapeworks@postgres:5432/tapework"
    services["migrate"]["environment"]["TAPEWORKS_DATABASE_URL"] = address


def _misspelt_variable(services: dict[str, Any]) -> None:
    variables = services["worker"]["environment"]
    variables["TAPEWORKS_REDIS_PASSWORDFILE"] = variables.pop("TAPEWORKS_REDIS_PASSWORD_FILE")


@pytest.mark.parametrize(
    ("names", "fault", "said"),
    [
        (["redis"], _no_acl_file, "not healthy"),
        (["redis"], _misspelt_option, "ended"),
        (["redis"], _never_passes, "not healthy"),
        (["redis"], _always_passes, "healthy while idle"),
        (["postgres"], _another_port, "not healthy"),
        (["postgres", "migrate"], _another_database, "tapeworks"),
        (["redis", "worker"], _misspelt_variable, "ended"),
    ],
)
def test_a_fault_that_is_planted_shows_when_the_services_are_started(
    project: Project, stack: Start, names: list[str], fault: Any, said: str
) -> None:
    fault(project.services)
    services = stack(*names)

    with pytest.raises(AssertionError, match=said):
        _start_in_turn(services, names)


def _start_in_turn(services: Stack, names: list[str]) -> None:
    for name in names:
        assert not _is_healthy_while_idle(services, name), "healthy while idle"
        _bring_up(services, name)
