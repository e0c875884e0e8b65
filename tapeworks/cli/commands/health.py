"""`tapeworks health`: a supervisor's question for this machine's worker or scheduler."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeVar

import click

from tapeworks.cli.own_places import find_own_places
from tapeworks.errors import ExitCode, Unfit
from tapeworks.wire.errors import WorkersError
from tapeworks.wire.exchange import Exchange

_Answer = TypeVar("_Answer")


@click.group("health")
def health_command() -> None:
    """Check that this machine's worker or scheduler is alive: exit code 0 or 1."""


@health_command.command("worker", epilog="Example: tapeworks health worker")
def worker() -> int:
    """End with 0 if a worker of this machine showed itself in the last 5 seconds, and is ready."""
    workers = _ask(lambda exchange: exchange.workers())
    here = [worker for worker in workers if worker.host == socket.gethostname()]
    if any(worker.fingerprint for worker in here):
        return ExitCode.DONE
    if here:
        raise Unfit("No worker of this machine is ready yet; they are starting.")
    raise Unfit(_none("worker"))


@health_command.command("scheduler", epilog="Example: tapeworks health scheduler")
def scheduler() -> int:
    """End with 0 if a scheduler of this machine showed itself in the last 5 seconds."""
    schedulers = _ask(lambda exchange: exchange.schedulers())
    if any(scheduler.host == socket.gethostname() for scheduler in schedulers):
        return ExitCode.DONE
    raise Unfit(_none("scheduler"))


def _ask(question: Callable[[Exchange], _Answer]) -> _Answer:
    """Ask Redis. Its failure has no exit code of its own, for supervisors know only one."""
    try:
        return question(Exchange(find_own_places().redis_url))
    except WorkersError as error:
        raise Unfit(str(error)) from error


def _none(kind: str) -> str:
    return (
        f"No {kind} of this machine, {socket.gethostname()}, showed itself at Redis in the last 5 "
        f"seconds. Start one with: tapeworks {kind}"
    )
