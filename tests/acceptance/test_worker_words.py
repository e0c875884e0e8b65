"""All that a person reads of workers through their start, a death and an outage: our sentences."""

from __future__ import annotations

import re

import pytest

from tapeworks.cluster.redis_server import RedisServer
from tests.support.processes import Start, workers_of
from tests.support.redis_servers import server_process
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Every line that there may be, in the order of events.
LINES = (
    r"Starting 1 worker for unix://:\*\*\*@/\S+",
    "Loading TensorFlow",
    "Compiling",
    r"Worker (\S+) is ready",
    r"Redis at unix://:\*\*\*@/\S+ cannot be used: .+ Waiting for it\.",
    r"Redis is back; going on\.",
    r"Worker (\S+) was ended by SIGKILL, which .+; starting another",
    "",  # where the terminal shows ^C
    "Stopping after the shards in hand; once more to stop at once",
    "Workers stopped",
)


def test_start_death_and_outages_are_told_in_sentences_of_ours(start: Start) -> None:
    with RedisServer() as server:
        worker = start("worker", TAPEWORKS_REDIS_URL=server.url)
        until(lambda: worker.says("is ready"), "the worker is ready")
        server_process(server).kill()
        until(lambda: worker.says("Waiting for it"), "it tells that Redis is away")
        until(server.revive, "Redis is started again")
        until(lambda: worker.says("Redis is back"), "it tells that Redis is back")
        [process] = workers_of(worker)
        process.kill()
        until(lambda: worker.says("starting another"), "it tells of the death")
        worker.interrupt()
        assert worker.ended() == 130
    lines = worker.err.splitlines()
    assert len(lines) == len(LINES), worker.err
    for line, expected in zip(lines, LINES, strict=True):
        assert re.fullmatch(expected, line), line
    assert worker.out == ""
