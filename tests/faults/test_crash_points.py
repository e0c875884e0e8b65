"""A process under test ends when it reaches its crash point so often; every point is documented."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.faults.crash import OF_SCHEDULERS, OF_WORKERS, Crash
from tests.support.processes import ROOT

#: Tells of two events in turn, three times, and says so.
PASSING = """
import sys
from tapeworks.scheduler.events import LeaseRenewed, RunLeft
from tests.faults.crash import Crash
crash = Crash(sys.argv[1])
for time in range(1, 4):
    crash(LeaseRenewed())
    crash(RunLeft("run"))
    print(time, flush=True)
"""


@pytest.mark.parametrize(
    "text", ["AnswerTaken", "answer_judged", "RunLeft:0", "RunLeft:-1", "LeaseRenewed "]
)
def test_what_names_no_event_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Crash(text)


@pytest.mark.parametrize(
    ("at", "code", "times"),
    [("RunLeft", -9, []), ("RunLeft:3", -9, [1, 2]), ("RunLeft:4", 0, [1, 2, 3])],
)
def test_a_process_ends_when_the_event_has_happened_so_often(
    at: str, code: int, times: list[int]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PASSING, at], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code
    assert [int(line) for line in ended.stdout.split()] == times
    assert ended.stderr == ("ending at RunLeft\n" if code else "")


def test_every_point_is_documented() -> None:
    text = (ROOT / "docs" / "crash-points.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted([*OF_SCHEDULERS, *OF_WORKERS])


def test_no_crash_is_built_into_the_product() -> None:
    rooms = ("scheduler", "workers", "wire", "storage", "model", "tapeworks")
    paths = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    found = [path for path in paths if re.search(r"crash.?(at|point)", path.read_text(), re.I)]
    assert len(paths) > 100
    assert found == []
