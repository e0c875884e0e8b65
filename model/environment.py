"""Variables and paths as people write them: one rule for everything that Tapeworks reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tapeworks.model.errors import VariableUnreadable

#: What an env file, an editor or a web page leaves around a value: blanks, line ends, and marks
#: that nobody sees, such as those of byte order and of the direction of writing.
AROUND = " \t\r\n\v\f\xa0\xad\u202f\u3000\ufeff\u2060\u200b\u200c\u200d\u200e\u200f"
AROUND += "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

#: Quotation marks that open a value, and those that close it.
QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "\u2018": "\u2019", "„": "“", "«": "»"}

#: What stands within no value: control characters, and a comment that an env file does not know.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ufeff]")
_COMMENT = re.compile(r"\s#")

#: A variable that a shell, of Windows too, would have replaced. A name may have a `$` within.
UNEXPANDED = re.compile(r"^\$\w+|\$\{\w+\}|%[A-Za-z]{3}\w*%")


def variable(environment: Mapping[str, str], name: str) -> str | None:
    """Return the value of a variable as it is meant, or None if it is not set, empty or blank.

    Blanks, line ends and a byte order mark around it do not count, nor does a pair of quotation
    marks. Raises `VariableUnreadable` for what cannot be read in one way only.
    """
    value = environment.get(name, "").strip(AROUND)
    if len(value) > 1 and QUOTES.get(value[0]) == value[-1]:
        value = value[1:-1].strip(AROUND)
    if problem := _problem_with(name, value):
        raise VariableUnreadable(f"Expected {name} as one value on one line. Received: {problem}.")
    return value or None


def path_variable(environment: Mapping[str, str], name: str) -> Path | None:
    """Return the path that a variable names, `~` read as a shell reads it.

    Raises `VariableUnreadable` as `variable` does, and for a path that cannot be expanded.
    """
    value = variable(environment, name)
    return None if value is None else read_path(name, value)


def read_path(name: str, value: str) -> Path:
    """Return the path that a variable's value is. Raises `VariableUnreadable`."""
    try:
        return Path(expand_path(value))
    except ValueError as error:
        raise VariableUnreadable(f"Expected a path in {name}: {error}.") from error


def expand_path(text: str) -> str:
    """Return a path from a file or a variable, where no shell has read its `~`.

    Raises `ValueError` for a user without a home directory, and for `$NAME`, which is a shell's.
    """
    if found := UNEXPANDED.search(text):
        raise ValueError(
            f"only ~ is expanded here; write the path in place of {found[0]}, in {text!r}"
        )
    return expand_home(text)


def expand_home(text: str) -> str:
    """Return a path with its `~` or `~user` replaced. Raises `ValueError` if there is no home."""
    expanded = os.path.expanduser(text)  # noqa: PTH111 - Path forgets the ./ of ./~name
    if expanded.startswith("~"):
        raise ValueError(
            f"there is no home directory for {text!r}; write ./{text} if it is a file's name"
        )
    return expanded


def _problem_with(name: str, value: str) -> str | None:
    if re.match(rf"(\w+\s+)?{re.escape(name)}\s*=", value):  # `export NAME=value` after a `NAME=`
        return f"a value that begins with {name}=; write that once, before it"
    if _CONTROL.search(value):
        return "a value with a line break or another control character in it"
    if _COMMENT.search(value):
        return "a value with a comment after it, which belongs on a line of its own"
    marks = {*QUOTES, *QUOTES.values()}
    if value and (value[0] in marks or value[-1] in marks):
        return "a value with one quotation mark; write none, or one on each side"
    return None
