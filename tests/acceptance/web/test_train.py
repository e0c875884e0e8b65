"""`tapeworks train --web`: the page of a run while it is computed, and nothing of it afterwards."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from tapeworks.web.options import DEFAULT_PORT
from tests.support.processes import Start, Started, alive, all_gone
from tests.support.waiting import until

LONG = "--dataset digits --images 16 --iterations 100000 --workers 0 --web"


@pytest.fixture
def taken_port() -> Iterator[None]:
    """Have the port where people expect the page in use."""
    with socket.socket() as other:
        with suppress(OSError):  # then it is in use already
            other.bind(("127.0.0.1", DEFAULT_PORT))
            other.listen()
        yield


def address_of(training: Started) -> str:
    """The address of the run's page, once it is served."""
    until(lambda: training.says("Web page: "), "the address is printed")
    found = re.search(r"^Web page: (http://127\.0\.0\.1:\d+/runs/\S+)$", training.err, re.M)
    assert found, training.err
    return found[1]


def pages_of(training: Started) -> list[psutil.Process]:
    return [
        one
        for one in training.descendants()
        if alive(one) and one.cmdline()[-1] == "tapeworks.web.companion"
    ]


def serves(address: str) -> bool:
    with suppress(httpx2.TransportError):
        return httpx2.get(address).status_code == 200
    return False


@pytest.mark.usefixtures("taken_port")
def test_the_page_is_there_until_the_training_is_interrupted(places: Path, start: Start) -> None:
    training = start("train", *LONG.split())
    address = address_of(training)
    assert f":{DEFAULT_PORT}/" not in address
    with httpx2.Client() as client:  # whose connection is kept open
        until(lambda: "running" in client.get(address).text, "it shows the run at work")
        assert len(pages_of(training)) == 1
        training.interrupt()
        assert training.ended() == 130
    assert not serves(address)
    assert "Web page stopped; the run is shown again by: tapeworks web" in training.err
    assert "Traceback" not in training.err
    all_gone(training)


@pytest.mark.long
def test_the_page_is_gone_after_the_end_of_the_training(places: Path, start: Start) -> None:
    training = start("train", *LONG.replace("100000", "3").split())
    address = address_of(training)
    assert training.ended() == 0
    assert not serves(address)
    all_gone(training)


@pytest.mark.long
def test_the_page_is_gone_after_the_training_was_killed(places: Path, start: Start) -> None:
    training = start("train", *LONG.split())
    address = address_of(training)
    [page] = pages_of(training)
    training.process.kill()
    until(lambda: not alive(page), "the page has ended")
    assert not serves(address)
    assert "Traceback" not in training.err
