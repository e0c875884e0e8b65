"""A user's network as the module that its source makes."""

from __future__ import annotations

import functools
import linecache
import types
from collections.abc import Callable
from typing import Any

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.allowed import find_source

PARAMETERS, LOSSES, LOGITS = "parameters", "losses", "logits"

#: Modules that a process holds.
MOST_MODULES = 64


class OwnModule:
    """The functions of a user's file."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.parameters = _function(namespace, PARAMETERS)
        self.losses = _function(namespace, LOSSES)
        self.logits = _function(namespace, LOGITS) if namespace.get(LOGITS) is not None else None


def _function(namespace: dict[str, Any], name: str) -> Callable[..., Any]:
    found = namespace.get(name)
    if not callable(found):
        received = "nothing of that name" if found is None else type(found).__name__
        raise NetworkError(f"Expected a function {name} in the file. Received: {received}.")
    return found  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=MOST_MODULES)
def load_module(digest: str) -> OwnModule:
    """Run an allowed source and return its functions.

    Raises `NetworkNotAllowed`, `NetworkError` for a file without them, and whatever the source
    itself raises.
    """
    source = find_source(digest)
    from tapeworks.model.engine.runtime import tf as _tf  # noqa: F401 - set up before the file's

    name = f"<network {digest[:12]}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = types.ModuleType(f"network_{digest[:12]}")
    exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return OwnModule(module.__dict__)
