"""The wish to stop, as signals bring it: at any moment, also in the middle of one another."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tapeworks.scheduler.driving.keeper import Control
from tests.support.processes import ROOT
from tests.support.waiting import DEADLINE_SECONDS

#: Stops again and again while a timer's signals do the same within.
WITHIN_ONE_ANOTHER = """
import signal
from tapeworks.scheduler.driving.keeper import Control

control = Control()
signal.signal(signal.SIGALRM, lambda number, frame: control.interrupt())
signal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)
for _ in range(100_000):
    control.drain()
signal.setitimer(signal.ITIMER_REAL, 0)
assert control.abandoning
"""


def test_a_signal_in_the_middle_of_another_ones_handler_blocks_nobody() -> None:
    arguments = [sys.executable, "-c", WITHIN_ONE_ANOTHER]
    subprocess.run(arguments, cwd=ROOT, check=True, timeout=DEADLINE_SECONDS)


def test_the_first_signal_wakes_all_who_sleep_and_the_second_stops_at_once() -> None:
    control = Control()
    with ThreadPoolExecutor(3) as threads:
        sleepers = [threads.submit(control.wait, DEADLINE_SECONDS) for _ in range(3)]
        control.interrupt()
        assert [sleeper.result(DEADLINE_SECONDS / 2) for sleeper in sleepers] == [True] * 3
    assert (control.draining, control.abandoning) == (True, False)
    control.interrupt()
    assert control.abandoning


def test_who_is_not_woken_sleeps_so_long_as_it_said() -> None:
    control = Control()
    assert not control.wait(0.001)
    assert not control.draining
