"""Standard streams that may be closed, full or without a reader, and whose loss ends no work."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: What a descriptor that is missing stands for.
STDIN, STDOUT, STDERR = 0, 1, 2


class Stream(io.FileIO):
    """A descriptor whose writes never fail: what cannot be written is dropped.

    The first failure is kept in `lost`.
    """

    def __init__(self, descriptor: int, *, is_data: bool, is_closed: bool = False) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost: OSError | None = None
        self._is_data, self._is_closed = is_data, is_closed

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what can be written, and claim that it was all.

        Data after a gap is useless; log lines are retried, for a full disk may have room later.
        """
        size = memoryview(data).nbytes
        if self.lost and self._is_data:
            return size
        try:
            return self._write(data)
        except OSError as error:
            self.lost = self.lost or error
            return size

    def _write(self, data: ReadableBuffer) -> int:
        if self._is_closed:
            raise OSError(errno.EBADF, "it is closed")
        while (written := super().write(data)) is None:  # another program made it non-blocking
            select.select([], [self], [])
        return written


@dataclass(frozen=True, kw_only=True, slots=True)
class StandardStreams:
    """The streams under `sys.stdout` and `sys.stderr`."""

    stdout: Stream
    stderr: Stream


def secure_streams() -> StandardStreams:
    """Put streams whose writes never fail in the place of stdout and stderr, for good.

    A descriptor that is closed is opened on the null device, else the next file or socket would
    get its number, and with it all that is said.
    """
    closed = fill_descriptors()
    if sys.stdin is None or STDIN in closed:
        sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115
    stdout = Stream(STDOUT, is_data=True, is_closed=STDOUT in closed)
    stderr = Stream(STDERR, is_data=False, is_closed=STDERR in closed)
    sys.stdout, sys.stderr = _text(stdout, sys.stdout), _text(stderr, sys.stderr)
    return StandardStreams(stdout=stdout, stderr=stderr)


def fill_descriptors() -> set[int]:
    """Open those of the standard descriptors that are closed on the null device; which they were.

    To be called before anything else is opened.
    """
    closed = set()
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:  # the lowest free number is given out first, so it is this one
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            closed.add(descriptor)
    return closed


def is_unread(descriptor: int) -> bool:
    """Check that the reader of a pipe has ended, or that a terminal is closed."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def write_to_stderr(data: bytes) -> None:
    """Write past the stream: a signal's handler may interrupt a write to it."""
    with contextlib.suppress(OSError):  # nobody is there to be told
        os.write(STDERR, data)


def _text(stream: Stream, before: TextIO | None) -> io.TextIOWrapper:
    """The text stream above it, in the encoding that the user asked for."""
    return io.TextIOWrapper(
        io.BufferedWriter(stream),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="backslashreplace",  # a terminal that has not every letter
        line_buffering=True,
        write_through=True,
    )
