"""Files of pictures that nobody named: none takes the place of something else in silence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from tapeworks.cli.outputs.destinations import Kind, destination
from tapeworks.cli.outputs.printing import say
from tapeworks.plotting.kinds import RUNS_KEY

#: The name of a picture of losses, where none is given.
LOSS_CURVE = Path("loss_curve.png")


def find_place(path: Path, runs: Sequence[str]) -> Path:
    """The path, or one with a number after its name, where only these runs' picture may stand.

    It is said on stderr what else stands at the path.
    """
    place = next(place for place in _places(path) if _may_replace(place, runs))
    if place != path:
        say(f"{path} is kept: it is no picture of {'this run' if len(runs) == 1 else 'these runs'}")
    return place


def _places(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_stem(f"{path.stem}-{number}")


def _may_replace(path: Path, runs: Sequence[str]) -> bool:
    kind = destination(path).kind
    return kind is not Kind.DIRECTORY and (kind is not Kind.FILE or read_runs(path) == list(runs))


def read_runs(path: Path) -> list[str] | None:
    """The runs of a PNG that was drawn here; None of any other file."""
    from PIL import Image  # as slow to load as what draws

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which do not matter here
            with Image.open(path, formats=["PNG"]) as picture:
                text = picture.info.get(RUNS_KEY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return text.split() if isinstance(text, str) else None
