"""The face: command line, Python client, settings, embedded cluster.

`tapeworks.connect()` gives a `Client`; `tapeworks.RunConfig` is a run's configuration.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapeworks.client import Client, Run, connect
    from tapeworks.model.config import RunConfig
    from tapeworks.storage.records import RunStatus

#: What `import tapeworks` offers, and where it is: loaded when it is used, as commands are.
_PLACES = {
    "Client": "tapeworks.client",
    "Run": "tapeworks.client",
    "RunConfig": "tapeworks.model.config",
    "RunStatus": "tapeworks.storage.records",
    "connect": "tapeworks.client",
}

__all__ = ["Client", "Run", "RunConfig", "RunStatus", "connect"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tapeworks' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
