"""Distributed training in TensorFlow with the same bits on any number of workers.

    import tapeworks

    run = tapeworks.train({"dataset": "digits", "iterations": 20}, workers=2, name="first")
    run.history()                       # a data frame: loss, accuracy, seconds, …
    run.plot().save("loss.png")
    run.predict("digit.png")

    with tapeworks.connect() as client:  # the database of TAPEWORKS_DATABASE_URL
        client.submit(tapeworks.RunConfig(learning_rate=0.003)).wait()  # by a scheduler
        client.runs(where="test_accuracy > 0.9")

`train` trains here and now, `connect` gives a `Client`, which submits and finds runs, a `Run` has
a history, pictures and predictions, a `RunConfig` has every setting (`help(tapeworks.RunConfig)`),
a `RunStatus` tells where a run stands, `errors` has what is raised. The packages below are inner
ones: they may change. More is in docs/python.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapeworks import errors
    from tapeworks.client.connecting import connect, train
    from tapeworks.client.direct import Client
    from tapeworks.client.runs import Run
    from tapeworks.model.config import RunConfig
    from tapeworks.storage.records import RunStatus

#: What `import tapeworks` offers, and where it is: loaded when it is used, as commands are.
_PLACES = {
    "Client": "tapeworks.client.direct",
    "Run": "tapeworks.client.runs",
    "RunConfig": "tapeworks.model.config",
    "RunStatus": "tapeworks.storage.records",
    "connect": "tapeworks.client.connecting",
    "train": "tapeworks.client.connecting",
}

__all__ = ["Client", "Run", "RunConfig", "RunStatus", "connect", "errors", "train"]


if not TYPE_CHECKING:  # type checkers know every name, and that there are no others

    def __getattr__(name: str) -> Any:
        if name == "errors":
            return importlib.import_module("tapeworks.errors")
        if name not in _PLACES:
            import difflib  # needed for a mistake alone

            near = difflib.get_close_matches(name, __all__, n=1)
            hint = f". Did you mean {near[0]}?" if near else ""
            raise AttributeError(f"module 'tapeworks' has no attribute {name!r}{hint}")
        return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
