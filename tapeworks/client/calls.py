"""Calls of a program: arguments that there are none of, and sentences in Python's own words."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tapeworks.errors import EXPECTED, UsageError
from tapeworks.model.config import RunConfig
from tapeworks.model.other_names import nearest_setting

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

#: A command that a sentence tells to run, which is typed in a shell as it stands; or an option.
_COMMAND_OR_OPTION = re.compile(r"tapeworks [a-z]+( [^.;]*)?|(?<![\w-])--([a-z][a-z-]+)( (?=\S))?")


def name_arguments(sentence: str) -> str:
    """Return the sentence of a command's function with arguments in place of options."""
    return _COMMAND_OR_OPTION.sub(_name_argument, sentence)


def _name_argument(found: re.Match[str]) -> str:
    if found[2] is None:
        return found[0]
    behind = found.string[found.end() :]
    is_given = bool(found[3]) and "Received:" in found.string[: found.start()] and behind != ""
    return found[2].replace("-", "_") + ("=" if is_given else found[3] or "")


def in_python_words(
    call: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Have a method's refusals name what the program typed, not a command's options."""

    @functools.wraps(call)
    def wrapper(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return call(*args, **kwargs)
        except EXPECTED as error:
            if error.args and isinstance(error.args[0], str):
                error.args = (name_arguments(error.args[0]), *error.args[1:])
            raise

    return wrapper


def with_known_arguments(
    call: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Have a function refuse in one sentence settings that are given as arguments of its own."""
    known = inspect.signature(call).parameters

    @functools.wraps(call)
    def wrapper(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        for name, value in kwargs.items():
            if name not in known:
                raise UsageError(_describe_unknown(call.__name__, name, value, list(known)))
        return call(*args, **kwargs)

    return wrapper


def _describe_unknown(call: str, name: str, value: object, known: list[str]) -> str:
    near = nearest_setting(name, [*known, *RunConfig.model_fields])
    if near in RunConfig.model_fields:
        return (
            f"Expected settings in a RunConfig or a dictionary: {call}({{{near!r}: {value!r}}}). "
            f"Received: {name}={value!r} as an argument of {call}."
        )
    return f"{call} has no argument named {name!r}.{f' Did you mean {near}?' if near else ''}"
