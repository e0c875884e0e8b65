"""The drill with one seed: faults strike a real training, and no bit of it changes.

`make chaos` runs more seeds with more faults, on PostgreSQL too.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.faults.chaos.drill import Order, drill
from tests.faults.chaos.figure import draw
from tests.faults.chaos.journal import of, read
from tests.faults.chaos.report import seed_lines, told
from tests.faults.chaos.world import Shape
from tests.support.processes import alive

pytestmark = pytest.mark.long

#: As many as strike in half a minute.
FAULTS = 12

ORDER = Order(seed=4, faults=FAULTS, shape=Shape(database="sqlite", groups=2))


@pytest.mark.timeout(600)  # TensorFlow starts several times, on a machine that may be busy
def test_nothing_is_missed_doubled_or_changed_by_a_dozen_faults(tmp_path: Path) -> None:
    outcome = drill(ORDER, tmp_path / "drill")

    report = "\n".join(seed_lines(outcome))
    assert outcome.is_good, report
    assert len(of(outcome.entries, "fault")) == FAULTS, report
    assert f" faults={FAULTS} missed=0 double_counted=0 digests_equal=yes " in told([outcome])
    left = [one for one in psutil.process_iter() if alive(one) and _is_of(one, tmp_path)]
    assert left == []

    draw(read(tmp_path / "drill" / "journal.jsonl"), tmp_path / "drill.png")
    assert (tmp_path / "drill.png").read_bytes().startswith(b"\x89PNG")


def _is_of(process: psutil.Process, directory: Path) -> bool:
    """Return whether a process was started in this directory."""
    try:
        return Path(process.cwd()).is_relative_to(directory)
    except psutil.Error:
        return False
