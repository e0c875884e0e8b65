"""A worker that shows itself and never answers: what waits for its word alone comes to an end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tapeworks.storage.records import RunStatus
from tests.faults.simulation.faults import Faults, Kind, calm
from tests.faults.simulation.schedule import Failure, Schedule
from tests.faults.simulation.store import Run

pytestmark = pytest.mark.slow


class Silent(Schedule):
    """No faults but that one; the run's loss is no number from the beginning."""

    def _draw(self) -> Faults:
        return replace(calm([Kind.HONEST, Kind.HONEST, Kind.MUTE]), is_pinned=True)

    def _numbers(self) -> tuple[int, int]:
        return 1, 1

    def _run(self, run_id: str) -> Run:
        return replace(super()._run(run_id), diverges_at=0)

    def left(self) -> RunStatus:
        """Return the status of the run once it was resumed a few times."""
        self.progress_seconds = 1000.0
        self.run()
        [run] = self._store.runs.values()
        return run.status


def test_a_run_that_looks_diverged_is_paused_and_does_not_wait_for_ever() -> None:
    assert [Silent(seed).left() for seed in range(3)] == [RunStatus.PAUSED] * 3


def test_waiting_for_ever_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapeworks.scheduler.core.sending.UNHEARD_SECONDS", float("inf"))
    with pytest.raises(Failure, match="the runs are not complete"):
        Silent(0).left()
