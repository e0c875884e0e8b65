"""The stages of a worker process's start, written into a pipe for its supervisor."""

from __future__ import annotations

import os
from contextlib import suppress
from enum import IntEnum
from typing import IO

from tapeworks.model.settings import Settings


class Stage(IntEnum):
    """The parts of a start, in their order; each takes seconds."""

    STARTING = 0  #: Python and Celery
    LOADING = 1
    COMPILING = 2
    READY = 3  #: it takes shards

    @property
    def sentence(self) -> str:
        """Words for those who wait."""
        return _SENTENCES[self]


_SENTENCES = {
    Stage.STARTING: "Starting",
    Stage.LOADING: "Loading TensorFlow",
    Stage.COMPILING: "Compiling",
    Stage.READY: "Ready",
}


def tell_supervisor(stage: Stage) -> None:
    """Write this process's stage into the pipe, if a supervisor has given it one."""
    variable = Settings.readiness_descriptor.variable
    descriptor = os.environ.get(variable)
    if descriptor is None:
        return
    with suppress(OSError):  # the supervisor has ended, and this process will
        os.write(int(descriptor), bytes([stage]))
    if stage is Stage.READY:
        os.close(int(descriptor))
        del os.environ[variable]


def read_stage(pipe: IO[bytes], before: Stage) -> Stage:
    """Return the newest stage in the pipe, which does not block; that of before if none is."""
    told = pipe.read(len(Stage))  # b"" when it ended without reporting, None while it is silent
    return Stage(told[-1]) if told else before
