"""Thousands of spoilt messages, answers and payloads: nothing dies, nothing wrong counts.

`make fuzz` tries 100,000.
"""

from __future__ import annotations

import pytest

from tests.faults.fuzzing.fuzz import MOST_GROWTH_BYTES, fuzzed

pytestmark = pytest.mark.slow


def test_nothing_that_lies_in_redis_ends_anything_or_counts_wrongly() -> None:
    found = fuzzed(2000)
    assert found.cases == 2000
    assert found.growth_bytes is None or found.growth_bytes < MOST_GROWTH_BYTES
    seen = found.seen
    for way in ("signed   not counted", "unsigned not counted", "signed   answered: done"):
        assert seen[way] > 10, seen
