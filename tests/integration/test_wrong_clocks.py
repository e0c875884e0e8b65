"""Real workers whose machines' clocks are wrong: what they compute counts all the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tapeworks.model.config import RunConfig
from tapeworks.scheduler.dispatch.celery import CeleryDispatcher
from tapeworks.storage.history import History
from tapeworks.workers.supervisor import Supervisor
from tests.support.fleet import running_fleet
from tests.support.training import Digests, drive, settings, submitted
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Seconds by which one clock is fast and the other slow.
OFF = 600

#: What Python runs before anything else. Code that is not Python's own keeps the right time, which
#: decides nothing here.
SITE = """
import datetime, time

real, real_ns, Real = time.time, time.time_ns, datetime.datetime
time.time = lambda: real() + ({off})
time.time_ns = lambda: real_ns() + ({off}) * 10**9

class Kind(type):
    def __instancecheck__(cls, value):
        return isinstance(value, Real)

class Shifted(Real, metaclass=Kind):
    @classmethod
    def now(cls, tz=None):
        return Real.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return Real.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)

datetime.datetime = Shifted
"""


def with_clock(off: int, directory: Path) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong by so many seconds."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(SITE.format(off=off))
    return {"PYTHONPATH": str(directory)}


def test_workers_with_clocks_that_are_ten_minutes_off_both_serve_a_run(
    history: History, undisturbed: Callable[[RunConfig], Digests], tmp_path: Path
) -> None:
    with running_fleet() as fleet:
        for place, off in {"fast": OFF, "slow": -OFF}.items():
            environment = with_clock(off, tmp_path / place)
            fleet.supervisors.append(Supervisor(fleet.redis_url, 1, fleet.log, environment))
            fleet.supervisors[-1].start()
        until(lambda: fleet.ready() == fleet.process_ids(), "both workers are ready")
        clocks = [datetime.fromisoformat(worker.clock) for worker in fleet.exchange.workers()]
        ahead = sorted(round((clock - datetime.now(UTC)).total_seconds(), -2) for clock in clocks)
        assert ahead == [-OFF, OFF]

        run = submitted(history, settings(iterations=3, audit=1.0))
        driven = drive(history, CeleryDispatcher(fleet.redis_url), run)
    assert driven.digests == undisturbed(settings(iterations=3))
    assert driven.said("audit_waived") == [], "each of them has answered everything"
