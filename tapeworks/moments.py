"""Times as people type them and as programs have them: so long ago, or on a day."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import click

from tapeworks.errors import InvalidValue

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

#: What a moment may be given as, for people.
EXPECTED = "so long ago (45m, 12h, 30d, 2w) or a date such as 2026-11-01"


class Moment(click.ParamType[datetime]):
    """30d, 12h, 90m: so long before now; or a date or time in ISO 8601, by default local."""

    name = "moment"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return "30d|12h|DATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return read_moment(str(param.name if param else self.name), value)
        except InvalidValue as error:
            self.fail(str(error), param, ctx)


def read_moment(name: str, value: Any) -> datetime:
    """Return the time in UTC that is given as text, date, time or so long ago.

    Without a time zone it is local. Raises `InvalidValue`.
    """
    try:
        moment = _moment(_without_library(value))
    except (ValueError, TypeError, OverflowError) as error:  # no such day, NaT, before year 1
        raise InvalidValue(EXPECTED, name, value) from error
    if moment is None:
        raise InvalidValue(EXPECTED, name, value)
    return moment


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):  # pandas' own kind too, made Python's, whose nanoseconds end
        own = datetime.combine(date(value.year, value.month, value.day), _clock(value))
        return own.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time()).astimezone(UTC)
    if isinstance(value, timedelta):
        return datetime.now(UTC) - timedelta(seconds=value.total_seconds())
    if not isinstance(value, str):
        return None
    if length := re.fullmatch(r"(\d{1,9})([smhdw])", value):
        return datetime.now(UTC) - timedelta(**{UNITS[length[2]]: int(length[1])})
    return datetime.fromisoformat(value).astimezone(UTC)


def _clock(value: datetime) -> time:
    parts = (value.hour, value.minute, value.second, value.microsecond)
    return time(*parts, tzinfo=value.tzinfo, fold=value.fold)


def _without_library(value: Any) -> Any:
    """A time of NumPy's as Python's, to the microsecond; anything else as it is."""
    kind = type(value).__name__
    if kind in {"datetime64", "timedelta64"} and hasattr(value, "astype"):
        return value.astype(f"{kind}[us]").tolist()
    return value
