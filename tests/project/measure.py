"""Measures of the house: `python -m tests.project.measure`.

They say how many names a newcomer meets at once, and how plainly the code speaks.
"""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ROOMS = ("model", "wire", "workers", "scheduler", "storage", "tapeworks")

#: Words with which a docstring asks instead of tells.
QUESTIONS = ("What", "Who", "Whom", "Whose", "Whether", "How", "Which", "Why", "When", "Where")

#: Irregular participles that the code could use as names of functions.
IRREGULAR = (
    "asked begun broken brought built chosen cut drawn driven found given gone got heard "
    "held kept known laid left lost made meant put read run seen sent set shown sold spent "
    "split spoken spelt stood taken taught thrown told understood won written"
)

#: Verbs as they stand, although they look like participles.
VERBS = "cut embed exceed feed need proceed put read run seed set shed speed split"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Module:
    """One file of the product."""

    path: Path
    lines: int
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        """All functions and methods but properties, whose names are nouns."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and not any(map(_is_property, node.decorator_list)):
                yield node

    def docstrings(self) -> Iterator[str]:
        """Every docstring."""
        for node in ast.walk(self.tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Module():
                    yield from filter(None, [ast.get_docstring(node)])


def modules() -> list[Module]:
    """Read all modules of the product but the package's own files without code."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    read = {path: path.read_text(encoding="utf-8") for path in paths}
    return [
        Module(path=path.relative_to(ROOT), lines=text.count("\n"), tree=ast.parse(text))
        for path, text in read.items()
        if path.name != "__init__.py" or text.count("\n") > 1
    ]


def asks(docstring: str) -> bool:
    """Return whether a docstring opens with a question's word."""
    return docstring.split(maxsplit=1)[0].rstrip(",:") in QUESTIONS


def is_participle(name: str) -> bool:
    """Return whether a function is named by what was done, not by what it does."""
    first = name.strip("_").split("_")[0]
    return first not in VERBS.split() and (first in IRREGULAR.split() or first.endswith("ed"))


def _is_property(decorator: ast.expr) -> bool:
    text = ast.unparse(decorator)
    return text.endswith(("property", ".setter")) or "fixture" in text


def measures(found: list[Module]) -> dict[str, object]:
    """Return every measure by its name."""
    lines = [one.lines for one in found]
    folders = Counter(one.path.parent for one in found)
    functions = [function for one in found for function in one.functions()]
    bodies = [
        function.end_lineno - function.lineno + 1 for function in functions if function.end_lineno
    ]
    docstrings = [text for one in found for text in one.docstrings()]
    participles = [function.name for function in functions if is_participle(function.name)]
    asking = [text for text in docstrings if asks(text)]
    names = Counter(one.path.name for one in found if one.path.name != "__init__.py")
    return {
        "modules": len(found),
        "lines": sum(lines),
        "folders": len(folders),
        "modules_per_folder": round(len(found) / len(folders), 1),
        "largest_folder": f"{max(folders, key=folders.__getitem__)} {max(folders.values())}",
        "module_median": statistics.median(lines),
        "module_maximum": max(lines),
        "function_median": statistics.median(bodies),
        "function_maximum": max(bodies),
        "asking_docstrings_percent": round(100 * len(asking) / len(docstrings), 1),
        "participle_functions_percent": round(100 * len(participles) / len(functions), 1),
        "repeated_file_names": " ".join(sorted(name for name, n in names.items() if n > 1)),
    }


def main() -> None:
    """Print one measure a line, then those functions and docstrings that it counts."""
    found = modules()
    for name, value in measures(found).items():
        print(f"{name}={value}")
    for one in found:
        for function in one.functions():
            if is_participle(function.name):
                print(f"{one.path}:{function.lineno}: {function.name}")
        for text in filter(asks, one.docstrings()):
            print(f"{one.path}: {text.splitlines()[0]}")


if __name__ == "__main__":
    main()
