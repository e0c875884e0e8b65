"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tapeworks.model.environment import expand_home


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
