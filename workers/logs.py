"""Lines on stderr: from which level on, in which format, with what they are about."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tapeworks.model.environment import path_variable
from tapeworks.model.errors import VariableUnreadable
from tapeworks.model.settings import LogFormat, Settings
from tapeworks.wire.addresses import passwords, without_passwords
from tapeworks.wire.log_context import FIELDS, context
from tapeworks.workers.printable import visible, visible_lines

#: A shorter secret is not looked for in other texts: whatever has it in it by chance would give
#: it away.
SHORTEST_SECRET = 8

#: Settings that may hold a password.
ADDRESSES = (Settings.redis_url, Settings.database_url)

#: Characters of a secret file that are read at most.
LONGEST_SECRET = 4096

#: All of ours. Libraries report what is below an error only when all is debugged.
logger = logging.getLogger("tapeworks")

#: Libraries whose errors are reported in sentences of ours by those who meet them: servers that
#: are away. Their own lines and tracebacks are for debugging.
REPORTED_OTHERWISE = ("celery.worker.consumer", "kombu", "redis", "sqlalchemy", "psycopg")


class Mask:
    """Makes secrets unreadable, wherever they may have come from: the last resort."""

    def __init__(self, secrets: set[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return without_passwords(text)


class PlainFormatter(logging.Formatter):
    """The sentence alone."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback below it, if there is one."""
        return self._mask("\n".join(filter(None, [self.line(record), self._traceback(record)])))

    def line(self, record: logging.LogRecord) -> str:
        """Return the first line."""
        return visible(record.getMessage())

    def _traceback(self, record: logging.LogRecord) -> str:
        if record.exc_info and record.exc_info[0]:
            return visible_lines(self.formatException(record.exc_info))
        return visible_lines(record.exc_text or "")


class DetailedFormatter(PlainFormatter):
    """The sentence with time, level and logger before it, and what it is about behind it."""

    def line(self, record: logging.LogRecord) -> str:
        """All of it."""
        head = f"{self.formatTime(record)} {record.levelname} {record.name}: "
        return visible(" ".join([head + record.getMessage(), *_pairs(record)]))


def json_formatter(mask: Mask) -> logging.Formatter:
    """One object in each line. Its library is loaded for those who ask for it."""
    from pythonjsonlogger.json import JsonFormatter

    class MaskedJson(JsonFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            known = ("time", "level", "logger", "event", "message", *FIELDS, "traceback")
            return {
                name: mask(value) if isinstance(value, str) else value
                for name in known
                if (value := log_data.get(name)) is not None
            }

    renamed = {"levelname": "level", "name": "logger", "exc_info": "traceback"}
    return MaskedJson(["levelname", "name", "message"], rename_fields=renamed, timestamp="time")


def _pairs(record: logging.LogRecord) -> list[str]:
    values = ((name, getattr(record, name, None)) for name in FIELDS)
    return [f"{name}={value}" for name, value in values if value is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSettings:
    """The format and the amount of logging."""

    format: LogFormat = LogFormat.TEXT
    level: str = "warning"
    is_plain: bool = False  #: in text, only the sentence

    @property
    def is_json(self) -> bool:
        """True when each line is for programs."""
        return self.format is LogFormat.JSON

    def environment(self) -> dict[str, str]:
        """For the processes that are started."""
        return {
            Settings.log_format.variable: self.format.value,
            Settings.log_level.variable: self.level,
        }


def log_settings(settings: Settings) -> LogSettings:
    """Return how a worker process logs. Raises model's `VariableUnreadable`."""
    return LogSettings(format=LogFormat(settings.log_format), level=settings.log_level or "warning")


@contextmanager
def logging_to_stderr(settings: LogSettings) -> Iterator[None]:
    """Log in this way; afterwards everything is as it was before."""
    with ExitStack() as stack:
        root = logging.getLogger()
        for changed in (root, logger):
            stack.callback(changed.setLevel, changed.level)
        stack.callback(setattr, root, "handlers", root.handlers)
        stack.callback(setattr, threading, "excepthook", threading.excepthook)
        stack.callback(logging.captureWarnings, False)
        log_to_stderr(settings)
        yield


def log_to_stderr(settings: LogSettings) -> None:
    """Log in this way from now on, whatever was set before."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_context)
    handler.setFormatter(_formatter(settings))
    root, debugs = logging.getLogger(), level == logging.DEBUG
    if not debugs:
        handler.addFilter(_is_not_reported_otherwise)
    root.handlers = [handler]
    root.setLevel(level if debugs else max(level, logging.ERROR))
    logger.setLevel(level)
    threading.excepthook = _thread_ended
    logging.captureWarnings(True)  # lines of their own, which only debugging shows


def line(message: str, event: str) -> bytes:
    """A line as it would be logged, for those who must write it themselves: signal handlers."""
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, message, (), None)
    record.event = event
    [handler] = logging.getLogger().handlers
    return f"{handler.format(record)}\n".encode()


def _formatter(settings: LogSettings) -> logging.Formatter:
    mask = Mask(_secrets(Settings(os.environ)))
    if settings.is_json:
        return json_formatter(mask)
    return PlainFormatter(mask) if settings.is_plain else DetailedFormatter(mask)


def _secrets(settings: Settings) -> set[str]:
    found = passwords(*(settings.environment.get(one.variable, "") for one in ADDRESSES))
    for one in Settings.list_all():
        if one.is_secret:
            with suppress(OSError, VariableUnreadable):  # whose reader reports it
                found |= _secret_in(path_variable(settings.environment, one.variable))
    found -= {""}
    return found | {quote(secret, safe="") for secret in found}


def _secret_in(path: Path | None) -> set[str]:
    if path is None:
        return set()
    with path.open(errors="replace") as file:
        return {file.read(LONGEST_SECRET).rstrip("\n")}


def _is_not_reported_otherwise(record: logging.LogRecord) -> bool:
    own = any(f"{record.name}.".startswith(f"{name}.") for name in REPORTED_OTHERWISE)
    return record.levelno >= logging.CRITICAL or not own


def _add_context(record: logging.LogRecord) -> bool:
    """Say what the thread works on, unless the line says it itself."""
    for name, value in context().items():
        if getattr(record, name, None) is None:
            setattr(record, name, value)
    return True


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread else "unknown"
        logger.critical(
            "Thread %s ended with an error", name, exc_info=ended.exc_value, extra={"event": "bug"}
        )
