"""The made-up runs of the history that tests only read."""

from __future__ import annotations

import functools

from benchmarks.history.made_up import Row, made_up_run

#: Runs, some of which failed or were cancelled, with all iterations that docs/queries.md names.
RUNS, ITERATIONS = 24, 120


@functools.cache
def stored_runs() -> list[Row]:
    """The runs, newest first, as rows of their table."""
    return [made_up_run(number, ITERATIONS).runs[0] for number in range(RUNS, 0, -1)]
