"""The web page that a command starts beside itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tapeworks.cli.outputs.printing import say

#: Seconds that the page has to end in: somewhat more than its requests have.
END_SECONDS = 8.0


@contextmanager
def web_page(run_id: str) -> Iterator[None]:
    """Serve the web page meanwhile, and say where it shows the run.

    Without it the command goes on: a training is worth more than a look at it.
    """
    try:
        process = _start()
    except OSError as error:  # no more processes, no more memory
        say(f"The web page could not be started: {error.strerror}; going on without it")
        yield
        return
    try:
        address = process.stdout.readline().decode().strip() if process.stdout else ""
        if address:
            say(f"Web page: {address}runs/{run_id}")
        else:
            say("The web page could not be started; going on without it")
        yield
    finally:
        _end(process)
    if address:
        say("Web page stopped; the run is shown again by: tapeworks web")


def _start() -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C in the terminal reaches the command alone."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tapeworks.web.companion"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its stdin, which it ends with, also if nobody waits for that."""
    with process:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
