"""The web page beside a training."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any, Never

import pytest

from tapeworks.cluster.web_page import web_page


def test_a_training_goes_on_where_no_process_can_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> Never:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with web_page("1234"):
        print("trained")
    said = capsys.readouterr()
    assert said.out == "trained\n"
    assert said.err == (
        "The web page could not be started: Resource temporarily unavailable; going on without it\n"
    )
