"""Finds our packages, not modules of other projects that have their names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

#: Our packages beside this one, whose names other projects use as well.
PACKAGES = ("model", "scheduler", "storage", "workers")

#: Where they are.
HOME = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the command line without directories that hold other modules of our packages' names."""
    if paths := os.environ.get("PYTHONPATH"):
        mine, others = part_paths(paths.split(os.pathsep))
        os.environ["PYTHONPATH"] = os.pathsep.join(mine)  # worker processes inherit it
        sys.path[:] = [path for path in sys.path if _resolve(path) not in others]
    from tapeworks.__main__ import main as run_command

    run_command()


def pass_over_working_directory() -> None:
    """Remove the directory that `python -m` searches first; nothing there is meant for us."""
    if not sys.flags.safe_path and sys.path[0] != str(HOME):
        del sys.path[0]


def check_packages() -> None:
    """Raise `ImportError` if a program's own module has the name of a package of ours."""
    for name in PACKAGES:
        spec = find_spec(name)
        if spec and spec.origin and not Path(spec.origin).resolve().is_relative_to(HOME / name):
            raise ImportError(
                f"{spec.origin} hides the package {name!r} of Tapeworks. Rename it, or use "
                "Tapeworks in a program that does not need it."
            )


def part_paths(paths: Iterable[str], home: Path = HOME) -> tuple[list[str], set[Path]]:
    """Return the directories that are of use, and those that hide a package of ours."""
    useful, others = list[str](), set[Path]()
    for path in paths:
        directory = _resolve(path)
        if directory != home and _holds_any(directory):
            others.add(directory)
        else:
            useful.append(path)
    return useful, others


def _resolve(path: str) -> Path:
    return Path(os.path.realpath(path))  # which a loop of links does not keep from an answer


def _holds_any(directory: Path) -> bool:
    names = (name for package in PACKAGES for name in (package, f"{package}.py"))
    try:
        return any((directory / name).exists() for name in names)
    except OSError:  # nothing can be imported from it either
        return False
