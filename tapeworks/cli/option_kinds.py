"""Kinds of options, refused in the same sentences as in a program; paths too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.given import LARGEST, read_number, read_statuses, read_whole
from tapeworks.errors import InvalidValue
from tapeworks.model.environment import expand_home
from tapeworks.storage.records import RunStatus


class PathType(click.ParamType[Path]):
    """A path whose `~` is expanded: a shell leaves that of `--output=~/runs.csv` alone."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, wherever it leads."""
        if isinstance(value, Path):
            return value
        if not value:  # which Path takes for the working directory
            self.fail("Expected a path. Received: an empty text.", param, ctx)
        try:
            return Path(expand_home(str(value)))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class WrittenPath(click.ParamType[str]):
    """A path whose slash at the end, if it has one, tells of a directory to be made."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path as text."""
        path = str(PathType().convert(value, param, ctx))
        ends_in_slash = str(value).endswith(os.sep) and not path.endswith(os.sep)
        return f"{path}{os.sep}" if ends_in_slash else path


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
