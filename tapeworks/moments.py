"""Times as people type them: so long ago, or on a day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[datetime]):
    """30d, 12h, 90m: so long before now; or a date or time in ISO 8601, by default local."""

    name = "moment"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return "30d|12h|DATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if length := re.fullmatch(r"(\d{1,9})([smhdw])", value):
                return datetime.now(UTC) - timedelta(**{UNITS[length[2]]: int(length[1])})
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                "Expected so long ago (45m, 12h, 30d, 2w) or a date such as 2026-11-01. "
                f"Received: {value}",
                param,
                ctx,
            )
