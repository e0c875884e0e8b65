"""compose.worker.yml and compose.tls.yml: workers of another machine, let in through TLS alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tapeworks.model.config import RunConfig, run_config
from tests.support.compose.stack import Stack
from tests.support.compose.two_machines import BETWEEN, start_redis_behind_tls, two_machines
from tests.support.training import Digests
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: So many iterations that the link goes down and up again among them.
SETTINGS = {"images": 50, "iterations": 300}

#: What makes the scheduler tell of every iteration.
TALKATIVE = {"TAPEWORKS_LOG_LEVEL": "DEBUG", "TAPEWORKS_LOG_FORMAT": "json"}

Start = Callable[..., Stack]


@pytest.fixture
def start(authority: trustme.CA, tmp_path: Path) -> Iterator[Start]:
    """Networks for these containers of both machines, and its Redis; none is left afterwards."""
    stacks: list[Stack] = []

    def start(*names: str) -> Stack:
        project = two_machines(authority, tmp_path, TALKATIVE)
        stacks.append(Stack(project, tmp_path, ["redis", *names]))
        start_redis_behind_tls(stacks[-1])
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.close()


@pytest.mark.long
def test_a_worker_of_another_machine_joins_a_redis_whose_certificate_it_knows_and_no_other(
    start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    stack = start("remote-1", "remote-2")

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "secrets" / "redis_ca"))
    stack.start("remote-1")
    until(lambda: stack.container("remote-1").code is not None, "the worker ends")
    assert "name the authority's file" in stack.said("remote-1")

    authority.cert_pem.write_to_path(str(tmp_path / "secrets" / "redis_ca"))
    stack.start("remote-2")
    stack.wait_until_healthy("remote-2")
    assert stack.container("remote-2").code is None
    stack.stop("remote-2")


@pytest.mark.long
def test_a_run_of_two_machines_outlives_the_link_between_them_to_the_same_bits(
    start: Start, undisturbed: Callable[[RunConfig], Digests]
) -> None:
    # Given Redis, PostgreSQL and a scheduler on one machine, and only workers on the other.
    workers = ("remote-1", "remote-2")
    stack = start("postgres", "migrate", "scheduler", *workers)
    for worker in workers:
        stack.start(worker)
    stack.start("postgres")
    stack.wait_until_healthy("postgres")
    stack.start("migrate")
    stack.wait_until_completed("migrate")
    stack.start("scheduler")
    for name in ("scheduler", *workers):
        stack.wait_until_healthy(name)

    # When a run is in progress and the link goes down, until the scheduler sees nobody.
    options = [word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))]
    run = stack.one_off("scheduler", ["submit", *options]).strip()
    until(lambda: len(told(stack, "iteration_committed")) > 5, "the run is in progress")
    stack.networks.cut(BETWEEN)
    until(lambda: told(stack, "no_workers"), "the scheduler sees no worker")
    [stopped] = told(stack, "iteration_committed")[-1:]
    stack.networks.mend(BETWEEN)

    # Then it goes on by itself, to the bits of one process without any queue.
    until(lambda: told(stack, "run_completed"), "the run is completed")
    assert stopped["iteration"] < SETTINGS["iterations"] - 1
    assert told(stack, "going_on")
    found = json.loads(stack.one_off("scheduler", ["show", run, "--json"]))
    expected = undisturbed(run_config(dict(SETTINGS)))
    assert found["parameters_digest"] == expected.parameters
    assert found["history_digest"] == expected.history


def told(stack: Stack, event: str) -> list[dict[str, Any]]:
    """Return what the scheduler's log says of this kind of event."""
    lines = stack.container("scheduler").err.splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]
    return [line for line in whole if line.get("event") == event]
