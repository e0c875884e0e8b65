"""`tapeworks doctor`: whether everything is in place, a line each, and what to do if not."""

from __future__ import annotations

from collections.abc import Callable

import click

from model import datasets
from model.config import RunConfig
from storage.database import Database
from storage.migrations import REVISION
from tapeworks.errors import EXPECTED, ExitCode, exit_code
from tapeworks.output import put
from tapeworks.redis_server import executable
from tapeworks.settings import settings
from workers.addresses import without_password
from workers.exchange import Exchange


@click.command("doctor", epilog="Example: tapeworks doctor")
def command() -> int:
    """Check Redis, workers, the database and the data set; exit with the first problem's code."""
    codes = [
        _told("redis", _redis),
        _told("workers", _workers),
        _told("database", _database),
        _told("data set", _data_set),
    ]
    return next((code for code in codes if code), ExitCode.DONE)


def _told(label: str, check: Callable[[], str]) -> int:
    try:
        put(f"ok       {label:9} {check()}")
    except EXPECTED as problem:
        put(f"problem  {label:9} {problem}")
        return exit_code(problem)
    return ExitCode.DONE


def _redis() -> str:
    url = settings().named_redis_url
    if url is None:
        return f"none is named; train would start {executable()}"
    Exchange(url).check()
    return f"{without_password(url)} answers and keeps what it is given"


def _workers() -> str:
    if settings().named_redis_url is None:
        return "train would start its own"
    workers = Exchange(settings().redis_url).workers()
    fingerprints = {worker.fingerprint for worker in workers if worker.fingerprint}
    if len(fingerprints) > 1:
        return f"{len(workers)} alive with {len(fingerprints)} fingerprints; a run uses one of them"
    return f"{len(workers)} alive" if workers else "none alive; start one with: tapeworks worker"


def _database() -> str:
    database = Database(settings().database_url)
    database.check_schema()
    return f"{database.address}, revision {REVISION}"


def _data_set() -> str:
    images = datasets.load(RunConfig()).training.images
    return f"digits, {len(images)} images of {images.shape[1]} × {images.shape[2]}"
