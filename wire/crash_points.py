"""Named points at which a process can be told to end itself as `kill -9` would end it.

They are for drills: `TAPEWORKS_CRASH_AT=update_computed:3 tapeworks scheduler` dies when it gets to
that point for the third time, and recovery is watched from there. docs/crash-points.md lists them.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import re
import signal
from dataclasses import dataclass
from enum import StrEnum

from tapeworks.model.environment import variable
from tapeworks.wire.errors import CrashPointUnknown

#: Holds a point's name, or that and the time it is reached, such as `message_taken:2`.
VARIABLE = "TAPEWORKS_CRASH_AT"
ASKED = re.compile(r"(?P<point>[a-z_]+)(:(?P<count>[1-9][0-9]{0,8}))?")


class CrashPoint(StrEnum):
    """A point, by what has happened there and what has not: the scheduler's, then a worker's."""

    # A run is taken up.
    RUN_CLAIMED = "run_claimed"  #: the run is ours in SQL; nothing of it is read yet
    IMAGES_RECORDED = "images_recorded"  #: SQL knows its images; Redis does not know the run
    RUN_ANNOUNCED = "run_announced"  #: workers may compile its network; no parameters, no work

    # Its work goes out.
    IMAGES_PUBLISHED = "images_published"  #: images are in Redis; parameters and messages are not
    MESSAGES_SENT = (
        "messages_sent"  #: all that is due is sent; nothing that came back was looked at
    )

    # Answers come back.
    ARRIVAL_POPPED = "arrival_popped"  #: nobody else hears of this answer; it lies there unread
    ANSWER_TAKEN = "answer_taken"  #: the answer is gone from Redis; it is not counted
    ANSWER_COUNTED = "answer_counted"  #: it is counted, in this process's memory only
    ALL_COUNTED = "all_counted"  #: every microbatch is held; nothing is averaged

    # An iteration is committed.
    UPDATE_COMPUTED = "update_computed"  #: the next parameters are here, nothing of them in SQL
    NEXT_STARTED = "next_started"  #: the next iteration's messages are out; this one is not in SQL
    BEFORE_COMMIT = "before_commit"  #: a transaction's statements are done; COMMIT is not sent
    AFTER_COMMIT = "after_commit"  #: COMMIT is done; whoever asked for it does not know
    ITERATION_COMMITTED = "iteration_committed"  #: it and all before it are in SQL; nobody was told

    # A run ends.
    EVALUATION_COMPUTED = "evaluation_computed"  #: accuracy is known here, not in SQL
    RUN_COMPUTED = "run_computed"  #: all its results are in SQL; it still counts as running
    RUN_FINISHED = "run_finished"  #: SQL says completed; Redis still holds its keys

    # Beside all that.
    LEASE_RENEWED = "lease_renewed"  #: the run is ours for a whole lease more
    EVENT_WRITTEN = "event_written"  #: the history tells of it; what it tells of is not done

    # A worker starts.
    WORKER_STARTED = "worker_started"  #: it may show itself as starting; it has no fingerprint
    FINGERPRINT_TAKEN = "fingerprint_taken"  #: it is ready; nobody knows
    WORKER_SHOWN = "worker_shown"  #: its record is in Redis, and stays there for seconds

    # A worker computes.
    MESSAGE_TAKEN = "message_taken"  #: no other worker sees the message; nothing is computed
    PAYLOADS_FETCHED = "payloads_fetched"  #: parameters and images are here; nothing is computed
    SHARD_COMPUTED = "shard_computed"  #: the gradients are in this process's memory only
    ANSWER_PREPARED = "answer_prepared"  #: the answer is signed, and not sent
    ANSWER_SENT = "answer_sent"  #: both are in Redis; no other message is taken


@dataclass(slots=True)
class Drill:
    """The point to end at, and how often it is still to be reached."""

    point: CrashPoint
    left: int = 1

    def is_over(self, point: CrashPoint) -> bool:
        """Count the point, if it is the one; whether that was the last time."""
        if point is self.point:
            self.left -= 1
        return self.left == 0


def drill(text: str) -> Drill | None:
    """Return the drill that the text asks for, None if it is empty. Raises `CrashPointUnknown`."""
    if not text:
        return None
    asked = ASKED.fullmatch(text)
    if asked is None or asked["point"] not in set(CrashPoint):
        [nearest] = difflib.get_close_matches(text.split(":")[0], list(CrashPoint), n=1, cutoff=0)
        raise CrashPointUnknown(
            f"Expected {VARIABLE} to be a crash point, such as {nearest}, or one and a count from "
            f"1, such as {nearest}:2. Received: {text!r}. Correct it, or unset it."
        )
    return Drill(CrashPoint(asked["point"]), int(asked["count"] or 1))


@functools.cache
def _of_this_process() -> Drill | None:
    return drill(variable(os.environ, VARIABLE) or "")


def check_crash_point() -> None:
    """Refuse to run with a drill that would never happen.

    Raises `CrashPointUnknown`, and model's `VariableUnreadable`.
    """
    _of_this_process()


def crash_point(point: CrashPoint) -> None:
    """End this process here and at once, if it was told to."""
    told = _of_this_process()
    if told is not None and told.is_over(point):
        with contextlib.suppress(OSError):
            os.write(2, f"{VARIABLE}: ending at {point}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def at_commit(moment: str) -> None:
    """Pass a crash point before or after a `Database` commits; storage knows nothing of points."""
    crash_point(CrashPoint(moment))
