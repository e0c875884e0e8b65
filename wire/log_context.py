"""The work in a thread's hand, written into every line that it logs meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

#: What lines may say of what they are about, in this order.
FIELDS = ("run", "run_name", "term", "iteration", "evaluation", "shard", "attempt", "worker")

_NOTHING: Mapping[str, object] = MappingProxyType({})
_context: ContextVar[Mapping[str, object]] = ContextVar("about", default=_NOTHING)


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """Work on this; what is None is not said.

    The value before is put back rather than reset: a generator may be closed in another context.
    """
    before = _context.get()
    go_on_about(**fields)
    try:
        yield
    finally:
        _context.set(before)


def go_on_about(**fields: object) -> None:
    """Work on this from now on, until `about_nothing`."""
    _context.set({**_context.get(), **{k: v for k, v in fields.items() if v is not None}})


def about_nothing() -> None:
    """Clear the context."""
    _context.set(_NOTHING)


def context() -> Mapping[str, object]:
    """The fields of this thread's work."""
    return _context.get()
