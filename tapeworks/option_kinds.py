"""Kinds of options of the command line, refused in the same sentences as in a program."""

from __future__ import annotations

from typing import Any

import click

from tapeworks.errors import InvalidValue
from tapeworks.given import LARGEST, read_number, read_statuses, read_whole
from tapeworks.storage.records import RunStatus


class Whole(click.IntRange):
    """A whole number between bounds."""

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(least, most)
        self.least, self.most = least, LARGEST if most is None else most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return read_whole(_name(self, param), value, self.least, self.most)
        except InvalidValue as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number between bounds."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__(least, most)
        self.least, self.most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return read_number(_name(self, param), value, self.least, self.most)
        except InvalidValue as error:
            self.fail(str(error), param, ctx)


class Status(click.Choice[str]):
    """A status of a run."""

    def __init__(self) -> None:
        super().__init__([status.value for status in RunStatus])

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> RunStatus:
        try:
            return read_statuses(_name(self, param), value)[0]
        except InvalidValue as error:
            self.fail(str(error), param, ctx)


def _name(kind: click.ParamType[Any], param: click.Parameter | None) -> str:
    return str(param.name if param else kind.name)
