"""The command line, called inside the test's own process."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tapeworks.__main__ import run

#: Trains a small run with a name, in this process.
TRAIN_FIRST = "train --workers 0 --images 20 --iterations 5 --test-images 30 --json --name first"


@dataclass(frozen=True, kw_only=True)
class Called:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def values(self) -> Any:
        """Its output, which is JSON."""
        return json.loads(self.out)

    @property
    def last_words(self) -> str:
        """The last line that it wrote to stderr."""
        return self.err.splitlines()[-1] if self.err else ""


#: A command line in, what came of it out.
Call = Callable[[str], Called]


def caller(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line as a shell would split it."""

    def call(line: str) -> Called:
        capsys.readouterr()
        code = run(shlex.split(line))
        captured = capsys.readouterr()
        return Called(code=code, out=captured.out, err=captured.err)

    return call
