"""What `TAPEWORKS_CRASH_AT` may say, and that every point is somewhere, once, and documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tapeworks.wire.crash_points import (
    VARIABLE,
    CrashPoint,
    Drill,
    drill,
)
from tapeworks.wire.errors import CrashPointUnknown

REPOSITORY = Path(__file__).resolve().parents[2]

WRONG = ["answer_take", "ANSWER_TAKEN", "answer_taken ", " answer_taken:1", "answer_taken\n"]
WRONG += ["answer_taken:", "answer_taken:0", "answer_taken:-1", "answer_taken:1.5"]
WRONG += ["answer_taken:two", "answer_taken:1:2", "answer_taken:٣", "answer_taken,answer_taken"]

#: Reaches two points in turn, three times, and says so.
PASSING = """
from tapeworks.wire.crash_points import CrashPoint, crash_point
for time in range(1, 4):
    crash_point(CrashPoint.ARRIVAL_POPPED)
    crash_point(CrashPoint.ANSWER_TAKEN)
    print(time, flush=True)
"""


def test_a_point_is_named_with_or_without_a_count() -> None:
    assert drill("") is None
    assert drill("answer_taken") == Drill(CrashPoint.ANSWER_TAKEN, 1)
    assert drill("answer_taken:12") == Drill(CrashPoint.ANSWER_TAKEN, 12)


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused_with_the_nearest_name(text: str) -> None:
    with pytest.raises(CrashPointUnknown) as refusal:
        drill(text)
    assert VARIABLE in str(refusal.value)
    assert f"Received: {text!r}" in str(refusal.value)
    if text != "ANSWER_TAKEN":
        assert "such as answer_taken," in str(refusal.value)


@pytest.mark.parametrize(
    ("at", "code", "times"),
    [("answer_taken", -9, []), ("answer_taken:3", -9, [1, 2]), ("answer_taken:4", 0, [1, 2, 3])],
)
def test_a_process_ends_when_it_reaches_the_point_so_often(
    at: str, code: int, times: list[int]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PASSING],
        env={VARIABLE: at, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    assert [int(line) for line in ended.stdout.split()] == times
    assert ended.stderr == (f"{VARIABLE}: ending at answer_taken\n" if code else "")


def test_every_point_stands_in_one_place() -> None:
    rooms = [REPOSITORY / room for room in ("scheduler", "wire", "workers")]
    source = "".join(path.read_text() for room in rooms for path in room.rglob("*.py"))
    placed = re.findall(r"crash_point\(CrashPoint\.(\w+)\)", source)
    at_commits = ["BEFORE_COMMIT", "AFTER_COMMIT"]  # by the names that storage gives them
    assert sorted(placed + at_commits) == sorted(point.name for point in CrashPoint)


def test_every_point_is_documented() -> None:
    text = (REPOSITORY / "docs" / "crash-points.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert rows == [point.value for point in CrashPoint]
