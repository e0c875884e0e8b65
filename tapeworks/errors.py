"""The exit code of every error that a user can cause or meet."""

from __future__ import annotations

import reprlib
import sys
from typing import Any

from tapeworks.model import errors as model
from tapeworks.model.errors import ExitCode as ExitCode
from tapeworks.scheduler import errors as scheduler
from tapeworks.storage import errors as storage
from tapeworks.wire import errors as workers


class UsageError(Exception):
    """A command was called with something that cannot work."""


class InvalidValue(UsageError, ValueError):
    """A value that is not of the kind that an option or an argument takes."""

    def __init__(self, expected: str, name: str, value: object) -> None:
        super().__init__(f"Expected {expected}. Received: {name}={_shorten(value)}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pass from process to process with its sentence, from which it cannot be made again."""
        return _restore, self.args


def _restore(*arguments: object) -> InvalidValue:
    return InvalidValue.__new__(InvalidValue, *arguments)


def _shorten(value: object) -> str:
    """A value as it is typed where it is short, else in brief; of another type, with its name."""
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 80:
        return value
    shown = reprlib.repr(value)
    return shown if isinstance(value, int | float | str) else f"{shown} ({type(value).__name__})"


class OutputFailed(Exception):
    """The work is done, but its output could not be written."""


class WebUnreachable(Exception):
    """The web page that a client was given cannot be asked, or something else answers there."""


class Unfit(Exception):
    """The service that was asked about is not alive, or not fit to do anything."""


#: The first class that fits decides.
_CODES: list[tuple[tuple[type[Exception], ...], ExitCode]] = [
    ((scheduler.Interrupted,), ExitCode.INTERRUPTED),
    ((storage.NotFound,), ExitCode.NOT_FOUND),
    ((storage.StorageUnreachable, workers.RedisUnreachable, WebUnreachable), ExitCode.UNREACHABLE),
    (
        (
            scheduler.SchedulerError,
            storage.LeaseLost,
            storage.HistoryRolledBack,
            workers.WorkerExited,
            Unfit,
            OutputFailed,
        ),
        ExitCode.RUN_FAILED,
    ),
    (
        (UsageError, model.ModelError, storage.StorageError, workers.WorkersError),
        ExitCode.WRONG_USAGE,
    ),
]

#: Everything that is told in one sentence; anything else is a defect and shows its traceback.
EXPECTED = tuple(kind for kinds, _ in _CODES for kind in kinds)


def exit_code(error: Exception) -> ExitCode:
    """The exit code for one of the `EXPECTED` errors."""
    return next(code for kinds, code in _CODES if isinstance(error, kinds))


def restore_error(name: str, sentence: str) -> Exception | None:
    """Make one of the `EXPECTED` errors that another process met, with its sentence."""
    for module in (storage, model, scheduler, workers, sys.modules[__name__]):
        kind = getattr(module, name, None)
        if isinstance(kind, type) and issubclass(kind, EXPECTED):
            error: Exception = kind.__new__(kind, sentence)
            return error
    return None
