"""A user's network as the module that its source makes."""

from __future__ import annotations

import inspect
import linecache
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tapeworks.model.errors import NetworkError
from tapeworks.model.keras_settings import without_keras_settings
from tapeworks.model.networks.own.allowed import find_source

PARAMETERS, LOSSES, LOGITS = "parameters", "losses", "logits"

#: How the names begin under which tracebacks show networks.
FILE_PREFIX = "<network "


class OwnModule:
    """The functions of a user's file; each is given all options, and takes those that it names."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        #: As they are written, by name.
        self.written = {name: _find_function(namespace, name) for name in (PARAMETERS, LOSSES)}
        if namespace.get(LOGITS) is not None:
            self.written[LOGITS] = _find_function(namespace, LOGITS)
        functions = {name: _with_options(function) for name, function in self.written.items()}
        self.parameters, self.losses = functions[PARAMETERS], functions[LOSSES]
        self.logits = functions.get(LOGITS)


@contextmanager
def kept_alive() -> Iterator[None]:
    """Turn a user's attempt to end this process into a `NetworkError`."""
    try:
        yield
    except SystemExit as error:
        if type(error) is not SystemExit:  # Celery ends its workers by kinds of its own
            raise
        raise NetworkError("Expected a file that computes. Received: SystemExit.") from error


def _find_function(namespace: dict[str, Any], name: str) -> Callable[..., Any]:
    found = namespace.get(name)
    if not callable(found) or isinstance(found, type):
        received = (
            "nothing of that name" if found is None else f"an object of type {type(found).__name__}"
        )
        raise NetworkError(f"Expected a function {name} in the file. Received: {received}.")
    return found  # type: ignore[no-any-return]


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the options that it does not name."""
    arguments = inspect.signature(function).parameters.values()
    names = {one.name for one in arguments if one.kind is one.KEYWORD_ONLY}

    def call(*values: Any, **options: Any) -> Any:
        with without_keras_settings():  # it may be what loads Keras
            return function(*values, **{name: options[name] for name in names & options.keys()})

    return call


def module_file(digest: str) -> str:
    """The name under which tracebacks show a network's lines."""
    return f"{FILE_PREFIX}{digest[:12]}>"


def load_module(digest: str) -> OwnModule:
    """Run an allowed source and return its functions; others in each call.

    What they keep among themselves is then that of one network with one set of options.
    Raises `NetworkNotAllowed`, `NetworkError` for a file without them, and whatever the source
    itself raises.
    """
    source, name = find_source(digest), module_file(digest)
    code = compile(source, name, "exec", dont_inherit=True)
    from tapeworks.model.engine.runtime import tf as _tf  # noqa: F401 - set up before the file's

    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = types.ModuleType(f"network_{digest[:12]}")
    with kept_alive(), without_keras_settings():
        exec(code, module.__dict__)  # noqa: S102
    return OwnModule(module.__dict__)
