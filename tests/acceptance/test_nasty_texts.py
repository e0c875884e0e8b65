"""Whatever somebody wrote into the history or into Redis does no harm where it is printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from tapeworks.cli.outputs.printing import visible
from tapeworks.cluster.redis_server import RedisServer
from tapeworks.cluster.watching.progress import Progress
from tapeworks.storage.history import History
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.messages import WorkerRecord
from tests.support.calls import Call
from tests.support.nasty import TEXTS, check_csv, check_svg, check_terminal, plant
from tests.support.stories import tell

pytestmark = pytest.mark.slow

#: Columns that hold what people, schedulers and workers say.
COLUMNS = "id,name,status,note,reason,owner,tags"


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of two finished runs, without anything nasty."""
    file = tmp_path_factory.mktemp("history") / "runs.db"
    history = History.open(file)
    for seed in (1, 2):
        tell(history, [[2.0, 1.0], [1.0, 0.5]], settings={"seed": seed})
    history.database.close()
    return file


@pytest.fixture(params=TEXTS.values(), ids=list(TEXTS))
def text(request: pytest.FixtureRequest, two_runs: Path, places: Path) -> str:
    """A nasty text, all over the history that commands use by default."""
    shutil.copy(two_runs, places / "runs.db")
    plant(places / "runs.db", request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


def ids(call: Call) -> list[str]:
    return [run["id"] for run in call("runs --json").values]


def test_lines_and_tables(text: str, call: Call) -> None:
    one, other = ids(call)
    for line, lines in {
        "runs": 3,
        f"runs --columns {COLUMNS}": 3,
        f"show {one}": None,
        f"show {one} --events": None,
        f"show {one} --ledger": 5,
        f"compare {one} {other}": None,
        f"watch {one}": None,
        "query 'SELECT * FROM tags'": 3,
        "query 'SELECT * FROM workers'": 5,
        "query 'SELECT name FROM runs WHERE nothing'": None,
        f"export {one} --to json": None,
    }.items():
        called = call(line)
        check_terminal(called.out + called.err)
        assert called.out or called.err
        assert lines is None or len(called.out.split("\n")) == lines + 1, called.out
    shown = call(f"show {one}").out
    notes = [line.removeprefix("note").lstrip() for line in shown.split("\n") if line[:4] == "note"]
    assert notes == [visible(text).lstrip()]


def test_errors(text: str, call: Call, places: Path) -> None:
    words = text.replace("'", "").replace("\x00", "")
    for line in (
        f"show '{words}'",
        f"runs --sort '{words}'",
        f"plot x --output '{words}'",
        f"runs --tag '={words}'",
        f"submit --dataset '{words}'",
        f"query 'SELECT \"{words}'",
        f"'{words}'",
        "delete " + " ".join(ids(call)),
    ):
        called = call(line)
        assert called.code in {2, 3}, called
        assert called.out == ""
        check_terminal(called.err)
        assert called.err.split("\n")[-2].startswith("tapeworks: ")
    assert len(ids(call)) == 2


def test_csv(text: str, call: Call) -> None:
    check_csv(call(f"runs --columns {COLUMNS} --format csv").out, rows=2)
    check_csv(call("query 'SELECT * FROM tags' --format csv").out, rows=2)
    check_csv(call("query 'SELECT kind, message, -1.5 FROM events' --format csv").out, rows=6)
    check_csv(call("query 'SELECT run_id, worker FROM workers' --format csv").out, rows=4)
    check_csv(call(f"export {ids(call)[0]}").out, rows=2)


def test_json_has_the_text_itself(text: str, call: Call) -> None:
    called = call("query 'SELECT * FROM tags' --json")
    assert called.out.isascii()
    check_terminal(called.out)
    assert [row["value"] for row in called.values] == [text, text]


def test_markdown_on_a_page(text: str, call: Call) -> None:
    out = call("query 'SELECT key, value FROM tags' --format markdown").out
    check_terminal(out)
    page = MarkdownIt("gfm-like", {"linkify": False}).render(out)
    assert set(re.findall(r"<(\w+)", page)) == {"table", "thead", "tbody", "tr", "th", "td"}
    assert page.count("<td>") == 4
    cells = ElementTree.fromstring(page).iterfind(".//td")  # of what our own renderer wrote
    assert {(cell.text or "").strip() for cell in cells} == {visible(text).strip()}


def test_svg(text: str, call: Call, places: Path) -> None:
    one, other = ids(call)
    file = text.replace("/", "").replace("\x00", "")[:99] + ".svg"
    for line in (f"{one} {other}", f"{one} --kind timeline", f"{one} --kind images"):
        called = call(f"plot {line} --output {shlex.quote(file)}")
        assert (called.code, called.err) == (0, "")
        assert called.out == visible(f"{places}/{file}") + "\n"
        check_svg((places / file).read_text(encoding="utf-8"))


def test_workers_that_anybody_may_have_written(
    text: str, call: Call, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPEWORKS_REDIS_URL", redis_url)
    words = text[:300].replace("\x00", "")
    record = WorkerRecord(
        name=words, host=words, pid=1, since=words, state=words, fingerprint=words,
        shard_in_hand=words,
    )  # fmt: skip
    exchange = Exchange(redis_url)
    exchange.register_worker(record)
    called = call("workers")
    check_terminal(called.out)
    assert len(called.out.split("\n")) == 3, called.out
    assert call("workers --json").out.isascii()
    check_terminal(call("doctor").out)
    exchange.deregister_worker(words)


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_notices_beside_a_progress_bar(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress(3) as progress:
        progress.notice(text)
    assert capsys.readouterr().err == f"{visible(text)}\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "10000")
    monkeypatch.setenv("TERM", "dumb")
    with Progress(3) as progress:
        progress.notice(text)
    assert visible(text) in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_real_process_on_a_terminal_of_any_encoding(
    encoding: str, two_runs: Path, places: Path
) -> None:
    shutil.copy(two_runs, places / "runs.db")
    plant(places / "runs.db", "".join(TEXTS.values()))
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    process = subprocess.run(
        [sys.executable, "-m", "tapeworks", "runs", "--columns", COLUMNS],
        env=environment,
        capture_output=True,
        check=True,
    )
    assert process.stderr == b""
    assert process.stdout.count(b"\n") == 3
    check_terminal(process.stdout.decode(encoding))


@pytest.mark.parametrize("option", ["--name", "--note", "--tag"])
def test_what_is_refused_at_the_door(option: str, call: Call) -> None:
    for text in TEXTS.values():
        if text.isprintable() and option != "--name":
            continue
        value = shlex.quote(f"key={text}" if option == "--tag" else text)
        called = call(f"submit {option} {value}")
        assert called.code == 2, called
        assert called.out == ""
        assert "Received: " in called.err
        check_terminal(called.err)
