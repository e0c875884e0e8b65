"""Values from programs to the client: those of other libraries work, the rest get one sentence."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import make_url

import tapeworks
from tapeworks.errors import InvalidValue, UsageError
from tapeworks.model.errors import ConfigurationError, ModelError
from tapeworks.model.parameters import initial, to_bytes
from tapeworks.storage.errors import (
    CheckpointNotFound,
    InvalidLine,
    InvalidName,
    InvalidTag,
    QueryError,
    RunNotFound,
    StorageError,
    ValueNotPlain,
)
from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.made_up import commit
from tests.support.training import settings

CONFIG = settings(iterations=3)

#: Where it is 2 o'clock already when it is 0 in UTC.
EAST = timezone(timedelta(hours=2))


@pytest.fixture
def client(either_history: History) -> tapeworks.Client:
    return tapeworks.Client(either_history)


def loose(typed: object) -> Any:
    """A client or run as a program without type checks sees it."""
    return typed


def test_a_run_that_is_described_with_numpy_is_stored_in_plain_values(
    client: tapeworks.Client, either_history: History
) -> None:
    run = loose(client).submit(
        CONFIG,
        name=np.str_("from numpy"),
        tags={np.str_("fold"): np.int64(3), "rate": np.float32(0.5), "kind": "test"},
        note=np.str_("a line"),
        priority=np.int64(-5),
        paused=np.bool_(True),
    )
    stored = run.refresh().record
    assert (stored.name, stored.note, stored.priority) == ("from numpy", "a line", -5)
    assert stored.status is tapeworks.RunStatus.PAUSED
    assert run.tags == {"fold": "3", "rate": "0.5", "kind": "test"}
    assert run.set_priority(np.float64(7)).record.priority == 7
    found = client.query("SELECT priority, priority + 1 AS next FROM runs")
    assert found.to_dict("list") == {"priority": [7], "next": [8]}
    assert [one.id for one in loose(client).runs(tags={"fold": np.int8(3)})] == [run.id]


def test_numpy_numbers_find_iterations_and_checkpoints(
    client: tapeworks.Client, either_history: History
) -> None:
    parameters = to_bytes(initial(CONFIG.built_in, 1))
    run = client.submit(CONFIG)
    claim = either_history.claim(run.id, "alice", 60)
    for number in range(2):
        commit(either_history, claim, number, parameters=parameters)

    for one in (np.int64(1), np.uint8(1), 1.0, np.float64(1), Decimal(1), "1", np.array(1)):
        assert len(run.images(one)) == 20  # type: ignore[arg-type]
        assert set(run.ledger(one)["iteration"]) == {1}  # type: ignore[arg-type]
        assert set(run.parameters(one)) == set(CONFIG.spec.shapes)  # type: ignore[arg-type]
    retried = loose(run).retry(
        after=np.int64(2), changes={"iterations": np.int64(9)}, priority=np.int8(2)
    )
    assert (retried.record.parent_iterations, retried.config.iterations) == (2, 9)
    assert retried.record.priority == 2
    with pytest.raises(CheckpointNotFound, match="after 5 iterations"):
        run.parameters(np.int64(5))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["queued", tapeworks.RunStatus.QUEUED, np.str_("queued")])
def test_one_status_and_several_are_both_taken(client: tapeworks.Client, status: Any) -> None:
    run = client.submit(CONFIG)
    client.submit(CONFIG, paused=True)
    for given in (status, [status], {status}, (status,), np.array([status, "failed"])):
        assert [found.id for found in client.runs(status=given)] == [run.id]
    assert len(client.runs(status=[])) == len(client.runs(status=["paused", status])) == 2


def test_since_is_any_kind_of_time(client: tapeworks.Client) -> None:
    client.submit(CONFIG)
    now = datetime.now(UTC)
    yesterday, tomorrow = now - timedelta(days=1), now + timedelta(days=1)
    past: list[Any] = [yesterday, yesterday.date(), timedelta(days=1), "1d", "90m", "2020-01-01"]
    past += [pd.Timestamp(yesterday), pd.Timestamp("2020-01-01"), np.datetime64("2020-01-01")]
    past += [pd.Timedelta(days=1), np.timedelta64(3, "h"), yesterday.replace(tzinfo=None)]
    future: list[Any] = [tomorrow, pd.Timestamp(tomorrow), "2100-01-01", date(2100, 1, 1)]
    future += [np.datetime64("2100-01-01T00:00:00.000000001"), timedelta(days=-1)]
    assert {len(client.runs(since=since)) for since in past} == {1}
    assert {len(client.runs(since=since)) for since in future} == {0}


def test_a_time_without_a_zone_is_local_as_on_the_command_line(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tapeworks.Client(history)
    run = client.submit(CONFIG)
    monkeypatch.setenv("TZ", "UTC-9")  # as POSIX has it: nine hours ahead of UTC
    time.tzset()
    try:
        local = run.record.created_at.astimezone().replace(tzinfo=None)
        assert len(client.runs(since=local)) == 1
        assert len(client.runs(since=local + timedelta(minutes=1))) == 0
        assert len(client.runs(since=str(local + timedelta(minutes=1)))) == 0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ({"seed": np.array([1, 2])}, [1, 2]),
        ({"seed": range(2, 4)}, [2, 3]),
        ({"seed": (number for number in (5, 6))}, [5, 6]),
        ({"seed": pd.Series([8])}, [8]),
        ({"seed": {3: "x"}.keys()}, None),
    ],
)
def test_choices_of_a_grid_come_from_any_sequence(
    history: History, vary: dict[str, Any], expected: list[int] | None
) -> None:
    client = tapeworks.Client(history)
    if expected is None:
        with pytest.raises(ConfigurationError, match="Expected a list of choices for seed"):
            client.submit_grid(CONFIG, vary)
    else:
        runs = client.submit_grid(CONFIG, vary, name="g")
        assert [run.config.seed for run in runs] == expected
        assert [run.name for run in runs] == [f"g-{n}" for n in range(1, len(runs) + 1)]


def test_paths_of_any_kind_name_files_and_databases(tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(to_bytes(initial(CONFIG.built_in, 5)))
    path = tmp_path / "runs.db"
    for place in (path, str(path), bytes(path), make_url(f"sqlite:///{path}")):
        with tapeworks.connect(place) as client:  # type: ignore[arg-type]
            client.submit(CONFIG, init_from=start)
            loose(client).submit(CONFIG, init_from=bytes(start))
            digests = {run.record.parameters_digest for run in client.runs(limit=2)}
            assert len(digests) == 1
            assert len(client.runs()) in {2, 4, 6, 8}
    assert {file.name for file in tmp_path.iterdir()} == {start.name, path.name}


def test_settings_by_name_count_as_a_configuration(client: tapeworks.Client) -> None:
    series = pd.Series({"images": 20, "iterations": 3}, dtype=object)
    for given in ({"images": 20, "iterations": np.int64(3)}, series):
        config = loose(client).submit(given).config
        assert (config.images, config.iterations) == (20, 3)
    # A setting that only one of the optimizers reads is checked with each of them.
    fading = {"momentum": 0.5, "images": 20}
    [run] = client.submit_grid(fading, {"optimizer": ["momentum"]})
    assert run.config.momentum == 0.5


def test_values_by_name_may_be_a_series_or_a_data_frame(client: tapeworks.Client) -> None:
    rows = pd.DataFrame({"seed": [1, 2], "learning_rate": [0.1, 0.2]})
    grid = loose(client).submit_grid(CONFIG, rows, tags=pd.Series({"fold": 3, "rate": 0.5}))
    assert [run.config.seed for run in grid] == [1, 1, 2, 2]
    assert grid[0].tags == {"fold": "3.0", "rate": "0.5"}
    retried = loose(grid[0]).retry(changes=rows.iloc[1])
    assert (retried.config.seed, retried.config.learning_rate) == (2, 0.2)


Wrong = Callable[[Any, Any], object]

#: Calls with what cannot be meant, the error of each, and words of its sentence.
WRONG: list[tuple[Wrong, type[Exception], str]] = [
    (lambda c, _: c.submit({"lr": 1}), ConfigurationError, "Did you mean learning_rate"),
    (lambda c, _: c.submit(5), InvalidValue, "RunConfig, or settings by name .* config=5"),
    (
        lambda c, _: c.submit_grid(["seed"], {"seed": [1]}),
        InvalidValue,
        r"config=\['seed'\] \(list\)",
    ),
    (lambda c, _: c.train({"lr": 1}), ConfigurationError, "Did you mean learning_rate"),
    (lambda c, _: c.train(workers=1.5), InvalidValue, "workers=1.5"),
    (lambda c, _: c.train({}, resume="x"), UsageError, "leave out all others"),
    (lambda c, _: c.train(resume="x"), RunNotFound, "no run 'x'"),
    (lambda c, _: c.submit(CONFIG, priority=2.5), InvalidValue, "priority=2.5"),
    (lambda c, _: c.submit(CONFIG, priority=True), InvalidValue, "priority=True"),
    (lambda c, _: c.submit(CONFIG, priority=np.nan), InvalidValue, "priority=nan"),
    (lambda c, _: c.submit(CONFIG, priority=10**7), InvalidValue, "from -1000000 to 1000000"),
    (lambda c, _: c.submit(CONFIG, priority=None), InvalidValue, "priority=None"),
    (lambda c, _: c.submit(CONFIG, paused="no"), InvalidValue, "True or False. .* paused=no"),
    (lambda c, _: c.submit(CONFIG, name=b"n"), InvalidName, "name=b'n'"),
    (lambda c, _: c.submit(CONFIG, name=Path("n")), InvalidName, r"name=PosixPath\('n'\)"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": [1]}, name=5), InvalidName, "name=5"),
    (lambda c, _: c.submit(CONFIG, note=5), InvalidLine, "note=5"),
    (lambda c, _: c.submit(CONFIG, tags={"a": True}), InvalidTag, "'a'=True"),
    (lambda c, _: c.submit(CONFIG, tags={1: "a"}), InvalidTag, "1='a'"),
    (lambda c, _: c.submit(CONFIG, tags=["a=b"]), InvalidValue, r"tags=\['a=b'\]"),
    (lambda c, _: c.submit(CONFIG, tags=""), InvalidValue, "tags=''"),
    (lambda c, _: c.submit(CONFIG, tags=pd.Series([1])), InvalidTag, "0='1'"),
    (lambda c, _: c.submit(CONFIG, init_from=5), InvalidValue, "a path. .* init_from=5"),
    (lambda c, _: c.submit(CONFIG, init_from="a\0b"), InvalidValue, "a path"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": 5}), ConfigurationError, "seed, such .* 5"),
    (lambda c, _: c.submit_grid(CONFIG, {"optimizer": "sgd"}), ConfigurationError, "'sgd'"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": np.array(1)}), ConfigurationError, "for seed"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": {1, 2}}), ConfigurationError, "{1, 2}"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": itertools.count()}), ConfigurationError, "1000"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": range(10**15)}), ConfigurationError, "1000"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": [True]}), ConfigurationError, "seed=True"),
    (lambda c, _: c.submit_grid(CONFIG, {}), InvalidValue, "submit.. queues one run"),
    (lambda c, _: c.submit_grid(CONFIG, {"seed": [1, 1.0]}), ConfigurationError, "seed=1.0 twice"),
    (
        lambda c, _: c.submit_grid({"seed": 3}, {"seed": [1, 2]}),
        ConfigurationError,
        "Received: seed=3 and to vary seed=1,2; leave one out",
    ),
    (lambda c, _: c.submit_grid(CONFIG, ["seed"]), InvalidValue, "values by name"),
    (lambda c, _: c.run(5), InvalidValue, "run=5"),
    (lambda c, _: c.run(None), InvalidValue, "run=None"),
    (lambda c, _: c.run("a\0b"), RunNotFound, "no run"),
    (lambda c, _: c.runs(tags={"a": "\0"}), ValueNotPlain, "text without NUL"),
    (lambda c, _: c.runs(where="1 = 1\0"), QueryError, "without a NUL"),
    (lambda c, _: c.query("SELECT 1\0 nothing"), QueryError, "without a NUL"),
    (lambda c, _: c.submit(CONFIG, name="n" * 81), InvalidName, "'n{81}'"),
    (lambda c, _: c.runs(status="done"), InvalidValue, "queued, running, .* status=done"),
    (lambda c, _: c.runs(status=b"queued"), InvalidValue, "status=b'queued'"),
    (lambda c, _: c.runs(status=["queued", 5]), InvalidValue, "status=5"),
    (lambda c, _: c.runs(tags="a=b"), InvalidValue, "tags=a=b"),
    (lambda c, _: c.runs(since="tomorrow"), InvalidValue, "so long ago .* since=tomorrow"),
    (lambda c, _: c.runs(since=5), InvalidValue, "since=5"),
    (lambda c, _: c.runs(since=pd.NaT), InvalidValue, "since=NaT"),
    (lambda c, _: c.runs(since=np.datetime64("NaT", "s")), InvalidValue, "so long ago"),
    (lambda c, _: c.runs(since=datetime(1, 1, 1, tzinfo=EAST)), InvalidValue, "so long ago"),
    (lambda c, _: c.runs(sort=5), InvalidValue, "sort=5"),
    (lambda c, _: c.runs(where=5), InvalidValue, "where=5"),
    (lambda c, _: c.runs(descending="no"), InvalidValue, "descending=no"),
    (lambda c, _: c.runs(limit=-1), InvalidValue, "of 1 or more. .* limit=-1"),
    (lambda c, _: c.runs(limit=2**63), InvalidValue, "to 922.*807. .* limit=9223372036854775808"),
    (lambda c, _: c.query(5), InvalidValue, "sql=5"),
    (lambda c, _: c.query("SELECT 1", seconds=np.nan), InvalidValue, "0.001 to 86400"),
    (lambda c, _: c.query("SELECT 1", seconds=True), InvalidValue, "seconds=True"),
    (lambda _, r: r.wait(timedelta(seconds=1)), InvalidValue, "timeout_seconds="),
    (lambda _, r: r.wait(float("nan")), InvalidValue, "timeout_seconds=nan"),
    (lambda _, r: r.images(-1), InvalidValue, "of 0 or more. .* iteration=-1"),
    (lambda _, r: r.images(None), UsageError, "has no iteration yet"),
    (lambda _, r: r.images(limit=0), InvalidValue, "limit=0"),
    (lambda _, r: r.ledger("all"), InvalidValue, "iteration=all"),
    (lambda _, r: r.parameters(2**63), InvalidValue, "completed_iterations="),
    (lambda _, r: r.retry(after=1.5), InvalidValue, "after=1.5"),
    (lambda _, r: r.retry(changes="seed=1"), InvalidValue, "changes=seed=1"),
    (lambda _, r: r.retry(changes={"seed": True}), ConfigurationError, "seed=True"),
    (lambda _, r: r.retry(nmae="x"), InvalidValue, "one of name, tags, .* argument=nmae"),
    (lambda _, r: r.pause(5), InvalidLine, "reason=5"),
    (lambda _, r: r.cancel(b"x"), InvalidLine, "reason=b'x'"),
    (lambda _, r: r.set_priority("high"), InvalidValue, "priority=high"),
    (lambda *_: tapeworks.connect(5), InvalidValue, "URL or path"),  # type: ignore[arg-type]
    (lambda *_: tapeworks.connect(""), InvalidValue, "a path"),
]


def test_every_other_value_is_refused_in_one_sentence_and_nothing_is_stored(
    client: tapeworks.Client,
) -> None:
    run = client.submit(CONFIG)
    for wrong, error, words in WRONG:
        with pytest.raises(error, match=words) as refusal:
            wrong(client, run)
        assert isinstance(refusal.value, ModelError | StorageError | UsageError)
        assert "\n" not in str(refusal.value)
    assert [(found.id, found.record) for found in client.runs()] == [(run.id, run.record)]


def test_a_time_that_is_over_is_not_waited_for(client: tapeworks.Client) -> None:
    run = client.submit(CONFIG)
    for seconds in (np.float32(0), -1, Decimal("-Infinity"), "0"):
        with pytest.raises(TimeoutError, match="queued after 0 seconds"):
            run.wait(seconds)  # type: ignore[arg-type]
    assert run.cancel().wait(float("inf")).status is tapeworks.RunStatus.CANCELLED


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("priority 10000000 one", lambda c, r: r.set_priority(10**7)),
        ("priority high one", lambda c, r: r.set_priority("high")),
        ("runs --limit 0", lambda c, r: c.runs(limit=0)),
        (f"runs --limit {2**63}", lambda c, r: c.runs(limit=2**63)),
        ("runs --status done", lambda c, r: c.runs(status="done")),
        ("runs --since tomorrow", lambda c, r: c.runs(since="tomorrow")),
        ("query --seconds nan 'SELECT 1'", lambda c, r: c.query("SELECT 1", seconds=np.nan)),
        (f"retry one --after {2**64}", lambda c, r: r.retry(after=2**64)),
    ],
)
def test_command_line_and_client_refuse_in_the_same_words(
    line: str, wrong: Wrong, call: Call, history: History
) -> None:
    client = tapeworks.Client(history)
    with pytest.raises(InvalidValue) as refusal:
        wrong(client, client.submit(CONFIG))
    called = call(line)
    assert called.code == 2
    assert called.last_words.endswith(f": {refusal.value}")
