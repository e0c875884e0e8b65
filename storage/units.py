"""Units of work, and who begins them anew when the database could not be used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Repeat(Protocol):
    """Does a unit of work, as often as it takes."""

    def __call__(self, unit: Callable[[], _Result], /) -> _Result:
        """What the unit gives in the end."""


def once(unit: Callable[[], _Result]) -> _Result:
    """Does it, and lets its error through."""
    return unit()


class Repeating(Protocol):
    """Whose units of work are done as often as it takes."""

    _repeat: Repeat


_Self = TypeVar("_Self", bound=Repeating)


def unit_of_work(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Make a method one that may be begun anew as a whole; it must be the same to do it twice."""

    @functools.wraps(method)
    def repeated(
        self: _Self, /, *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        return self._repeat(lambda: method(self, *arguments, **named))

    return repeated
