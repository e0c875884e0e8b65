"""A network of five million parameters: it fits into messages, answers, Redis and SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapeworks.model.networks.own.spec import MOST_PARAMETERS
from tapeworks.storage.history import History
from tapeworks.wire.limits import LARGEST_ANSWER_BYTES, LARGEST_PAYLOAD_BYTES, USUAL_ANSWER_BYTES
from tests.support.calls import Call
from tests.support.large_network import PARAMETERS, save_files
from tests.support.training import digests

pytestmark = pytest.mark.long


def test_the_largest_network_fits_into_a_usual_answer() -> None:
    assert 8 * MOST_PARAMETERS <= USUAL_ANSWER_BYTES < LARGEST_ANSWER_BYTES
    assert 4 * MOST_PARAMETERS < LARGEST_PAYLOAD_BYTES
    assert PARAMETERS == 5_000_000 < MOST_PARAMETERS


def test_five_million_parameters_have_the_same_bits_in_two_workers_and_in_none(
    places: Path, call: Call
) -> None:
    options = f"{save_files(places, 256)} --microbatch-size 32 --iterations 2 --json"
    for workers in (0, 2):
        called = call(f"train {options} --workers {workers} --name with-{workers}")
        assert called.code == 0, called.err
    history = History.open(places / "runs.db")
    alone, together = (history.find_run(f"with-{workers}") for workers in (0, 2))
    assert digests(history, alone.id) == digests(history, together.id)
    assert {line.worker for line in history.ledger(together.id, 1)} != {"in-process"}
    assert len(history.checkpoint(together.id).parameters) > 4 * PARAMETERS
    history.database.close()
