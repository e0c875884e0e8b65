"""Standard streams that are closed, full or without a reader end nobody's work."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapeworks.workers.streams import Stream
from tests.support.processes import ROOT


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of one; a test may close the reading end."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(writing)


def test_words_that_nobody_reads_are_dropped_and_what_follows_too(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    stream = Stream(writing, is_data=False)
    words = io.TextIOWrapper(io.BufferedWriter(stream), line_buffering=True)
    for _ in range(2):
        print("nobody hears this", file=words, flush=True)
    assert stream.lost is not None
    assert stream.lost.errno == errno.EPIPE


def test_words_are_written_again_once_that_is_possible(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, (tmp_path / "log").open("wb") as log:
        stream = Stream(full.fileno(), is_data=False)
        assert stream.write(b"lost\n") == 5
        os.dup2(log.fileno(), full.fileno())
        stream.write(b"kept\n")
    assert (tmp_path / "log").read_bytes() == b"kept\n"


def test_data_after_a_gap_is_not_written(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, (tmp_path / "data").open("wb") as data:
        stream = Stream(full.fileno(), is_data=True)
        assert stream.write(b"lost\n") == 5
        os.dup2(data.fileno(), full.fileno())
        assert stream.write(b"of no use\n") == 10
    assert stream.lost is not None
    assert stream.lost.errno == errno.ENOSPC
    assert (tmp_path / "data").read_bytes() == b""


def test_a_terminal_that_is_closed_fails_no_write() -> None:
    terminal, side = pty.openpty()
    stream = Stream(side, is_data=False)
    os.close(terminal)
    assert stream.write(b"nobody sees this\n") == 17
    assert stream.lost is not None
    os.close(side)


def test_a_pipe_that_another_program_made_non_blocking_gets_everything(
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    content, received = os.urandom(1 << 20), bytearray()

    def read() -> None:
        while len(received) < len(content):
            received.extend(os.read(reading, 1 << 14))

    reader = threading.Thread(target=read)
    reader.start()
    with io.BufferedWriter(Stream(writing, is_data=True)) as stream:
        stream.write(content)
    reader.join()
    os.close(reading)
    assert bytes(received) == content


#: Says which descriptors a file gets, and says something on both streams.
SCRIPT = """
import sys
from tapeworks.workers.streams import secure_streams
streams = secure_streams()
file = open("file", "w+")
print("data")
print("words", file=sys.stderr)
print(file.fileno() > 2, sys.stdin.read(), streams.stdout.lost, file=open("found", "w"))
file.seek(0)
assert file.read() == ""
"""


@pytest.mark.parametrize(
    ("closed", "out", "err", "found"),
    [
        ("2>&-", "data\n", "", "True  None\n"),
        (">&-", "", "words\n", "True  [Errno 9] it is closed\n"),
        ("<&-", "data\n", "words\n", "True  None\n"),
        ("<&- >&- 2>&-", "", "", "True  [Errno 9] it is closed\n"),
    ],
)
def test_nothing_gets_the_number_of_a_stream_that_is_closed(
    closed: str, out: str, err: str, found: str, tmp_path: Path
) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -P -c "$1" {closed}', sys.executable, SCRIPT],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (out, err)
    assert (tmp_path / "found").read_text() == found
