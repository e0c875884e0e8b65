"""Pictures of runs, for programs and notebooks."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from tapeworks.cli import given
from tapeworks.cli.outputs.files import check_writable, write_file
from tapeworks.errors import InvalidValue
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.kinds import Content, Kind, Wanted, content, picture, picture_format
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord


class PlotOptions(TypedDict, total=False):
    """The options of `tapeworks plot`, for programs."""

    iteration: int | None  #: timeline, hardest: the only one that is shown
    by: str | None  #: images, hardest: last or mean, the loss that orders them
    limit: int | None  #: hardest: so many images
    color_by: str | None  #: curves: the setting whose values have a colour each
    mean_over: str | None  #: curves: the setting in which alone the runs of one line differ
    smooth: int | None  #: curves: the mean of each iteration with so many on either side
    title: str | None  #: instead of the one that the picture has by itself


@dataclass(frozen=True)
class Picture:
    """A picture, which a notebook shows; `save` writes it."""

    _content: Content
    _title: str | None = None

    def __repr__(self) -> str:
        return "<Picture: a notebook shows it, save(path) writes it>"

    @property
    def values(self) -> dict[str, Any]:
        """The values that are drawn, as `tapeworks plot --json` prints them."""
        return self._content.values() | {"title": self._title}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file ending in .png, .svg or .pdf. Raises `UsageError`, `OutputFailed`."""
        place = given.read_path("path", path)
        form = picture_format(place)
        check_writable(place)
        write_file(place, picture(self._content, form, self._title))
        return place.absolute()

    def _repr_png_(self) -> bytes:
        return picture(self._content, "png", self._title)


def draw(history: History, runs: Sequence[RunRecord], kind: str, options: PlotOptions) -> Picture:
    """Return a picture of this kind. Raises `UsageError` for one that cannot be."""
    if kind not in set(Kind):
        near = difflib.get_close_matches(str(kind), list(Kind), n=1)
        hint = f"{near[0]}, or another " if near else ""
        raise InvalidValue(f"{hint}one of {', '.join(Kind)}", "kind", kind)
    readers: dict[str, Callable[[str, Any], Any]] = {
        "iteration": given.read_whole,
        "by": read_by,
        "limit": given.read_count,
        "color_by": given.read_text,
        "mean_over": given.read_text,
        "smooth": given.read_count,
        "title": given.read_text,
    }
    for name in options.keys() - readers.keys():
        raise InvalidValue(f"one of {', '.join(readers)}", "argument", name)
    wanted = Wanted(
        kind=Kind(kind),
        **{name: given.read_optional(readers[name], name, one) for name, one in options.items()},
    )
    return Picture(content(history, runs, wanted), wanted.title)


def read_by(name: str, value: Any) -> By:
    """Return the loss that orders images. Raises `InvalidValue`."""
    if value not in set(By):
        raise InvalidValue(" or ".join(By), name, value)
    return By(value)
