"""How a line is written: as a sentence, with its details, or as JSON."""

from __future__ import annotations

import logging
from typing import Any

from tapeworks.workers.addresses import without_passwords
from tapeworks.workers.log_context import FIELDS
from tapeworks.workers.printable import visible, visible_lines

#: A shorter secret is not looked for in other texts: whatever has it in it by chance would give
#: it away.
SHORTEST_SECRET = 8


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
        """What stands on the first line."""
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
