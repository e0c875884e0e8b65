"""The process that computes for a program.

    python -P -m tapeworks.cluster.apart_process

It reads its task from stdin as a line of JSON, writes messages to stdout, one on a line, and stops
when its stdin is closed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from typing import IO, Any

from tapeworks.cli.describe import as_json
from tapeworks.cluster.program_progress import SilentBar
from tapeworks.cluster.session import Session
from tapeworks.errors import EXPECTED
from tapeworks.model import datasets
from tapeworks.model.config import restore_config
from tapeworks.places import find_places
from tapeworks.scheduler.driving.keeper import Control
from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History

Tell = Callable[[str], None]


def main() -> None:
    """Do the task; an expected error is a message, any other one shows its traceback."""
    messages = _take_stdout()
    asked = json.loads(sys.stdin.readline() or "{}")
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        result = TASKS[asked["task"]](asked, lambda told: _send(messages, told=told))
    except EXPECTED as error:
        _send(messages, error=type(error).__name__, sentence=str(error))
    else:
        _send(messages, result=result)


def train(asked: dict[str, Any], tell: Tell) -> None:
    """Drive a stored run, with workers of its own."""
    places, bar = find_places(), SilentBar(tell)
    with closing(Database(places.database_url)) as database:
        history = History(database)
        run = history.find_run(asked["run"])
        config = restore_config(run.configuration)
        Session(
            history=history,
            places=places,
            control=Control(asked["stop_after"]),
            workers=asked["workers"],
            pinned=asked["pinned"],
            tell=tell,
            tell_at_once=lambda _: None,
            make_bar=lambda *_: bar,
        ).run(run, config, datasets.load(config))


TASKS: dict[str, Callable[[dict[str, Any], Tell], Any]] = {"train": train}


def _take_stdout() -> IO[str]:
    """Return stdout, and have what else is printed in this process go to stderr."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return messages


def _send(messages: IO[str], **message: Any) -> None:
    messages.write(as_json(message).replace("\n", "") + "\n")
    messages.flush()


def _stop_with_parent() -> None:
    """Wait for the other end of stdin to be closed, also by a parent that was killed."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
