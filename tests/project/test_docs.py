"""The documents under test: what they name exists, and what exists is documented."""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest

from tapeworks.cli.group import cli
from tapeworks.cli.options import FIELDS
from tapeworks.errors import ExitCode
from tapeworks.model.config import RunConfig
from tapeworks.model.settings import Settings
from tapeworks.storage.queries.views import COLUMNS
from tapeworks.storage.tables import metadata
from tapeworks.wire.envelopes import QUEUE
from tapeworks.wire.messages import ShardMessage
from tests.support.forging import Change, counting, emptied, forge_ledger, without
from tests.support.made_up import history_of_two_iterations

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    + list((REPOSITORY / "docs").rglob("*.md"))
)
ARCHITECTURE = REPOSITORY / "docs" / "architecture.md"
DECISIONS = REPOSITORY / "docs" / "decisions"
ENGINE = REPOSITORY / "docs" / "engine.md"
FORMATS = REPOSITORY / "docs" / "formats.md"
SCHEMA = REPOSITORY / "docs" / "schema.md"
SETTINGS = REPOSITORY / "docs" / "settings.md"
QUERIES = REPOSITORY / "docs" / "queries.md"
EXACTLY_ONCE = REPOSITORY / "docs" / "exactly-once.md"
QUERY = REPOSITORY / "docs" / "exactly_once.sql"
ROOMS = ("model", "wire", "workers", "scheduler", "storage", "tapeworks")

#: Fenced blocks that hold commands.
SHELL_LANGUAGES = {"console", "sh"}

#: What a shell takes for one word, whatever is in it.
QUOTED = re.compile(r""" "[^"]*"|'[^']*' """.strip())

#: A row of a Markdown table whose first cell is one name in backquotes.
ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)

#: Lines that a document may have, because a newcomer reads it whole.
MOST_LINES = {"README.md": 199, "CONTRIBUTING.md": 60, "docs/architecture.md": 149}

_DOCUMENTS = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _fenced(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _code(text: str) -> list[str]:
    """Every line of code that may hold a command: of shell blocks, and inline."""
    lines = []
    for language, block in _fenced(text):
        if language in SHELL_LANGUAGES:
            lines += block.splitlines()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return lines + [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def _calls() -> list[tuple[str, list[str]]]:
    """Every `tapeworks …` of the documents: the document's name, and the call's words."""
    return [
        (document.name, shlex.split(call))
        for document in DOCUMENTS
        for line in _code(_text(document))
        for call in re.findall(r"(?:^|[ /])tapeworks ([a-z][^|;&>#]*)", QUOTED.sub("text", line))
    ]


def _commands() -> dict[str, click.Command]:
    """Every command as one calls it ("db upgrade")."""
    return dict(_leaves(cli, ""))


def _leaves(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{prefix}{name} ")
        elif command is not None:
            yield f"{prefix}{name}", command


def _options(command: click.Command) -> set[str]:
    flags = (flag for param in command.params for flag in (*param.opts, *param.secondary_opts))
    return {flag for flag in flags if flag.startswith("--")}


def _named(words: list[str], commands: dict[str, click.Command]) -> str | None:
    """The command that these words call."""
    names = (" ".join(words[:length]) for length in (2, 1))
    return next((name for name in names if name in commands), None)


def _section(text: str, heading: str) -> str:
    """The text below a heading of the second level."""
    match = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert match, f"there is no section {heading!r}"
    return match[1]


def _rows(text: str) -> dict[str, list[str]]:
    """Tables' rows by the name in their first cell."""
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in ROW.findall(text)}


def test_every_command_is_documented() -> None:
    commands = _commands()
    documented = {_named(words, commands) for _, words in _calls()}

    assert set(commands) - documented == set()


def test_every_option_is_documented() -> None:
    text = "\n".join(_text(document) for document in DOCUMENTS)
    missing = [
        f"{name} {flag}"
        for name, command in _commands().items()
        for flag in sorted(_options(command))
        if not re.search(rf"{re.escape(flag)}(?![\w-])", text)
    ]

    assert missing == []


def test_every_documented_command_and_option_exists() -> None:
    commands, wrong = _commands(), []
    for document, words in _calls():
        name = _named(words, commands)
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        if name is None or flags - _options(commands[name]) - {"--help"}:
            wrong.append(f"{document}: tapeworks {' '.join(words)}")

    assert wrong == []


def test_settings_lists_the_options_of_every_command_that_has_them() -> None:
    commands = _commands()
    rows = _section(_text(SETTINGS), "Options beside them").splitlines()
    for flag, row in ((ROW.match(row)[1], row) for row in rows if ROW.match(row)):  # type: ignore[index]
        of = re.findall(r"`([\w-]+)`", row.split("|")[2]) or list(commands)
        assert any(flag in _options(commands[name]) for name in of), row
        if of != list(commands):
            assert all(flag in _options(commands[name]) for name in of), row


def test_settings_shows_every_setting_of_a_run_with_its_default() -> None:
    rows = _rows(_section(_text(SETTINGS), "Settings of a run"))
    expected = {
        f"--{name.replace('_', '-')}": _shown(getattr(RunConfig(), name)) for name in FIELDS
    }

    assert {flag: cells[0].strip("`") for flag, cells in rows.items()} == expected


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def test_settings_lists_every_environment_variable() -> None:
    sources = [path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")]
    used = {name for path in sources for name in re.findall(r"TAPEWORKS_[A-Z_]+", _text(path))}
    documented = set(re.findall(r"TAPEWORKS_[A-Z_]+", _text(SETTINGS)))

    assert documented == used | {setting.variable for setting in Settings.list_all()}


def test_settings_shows_every_environment_variable_with_its_default() -> None:
    row = re.compile(r"^\| `(TAPEWORKS_\w+)` \| (?:`(.*?)` )?\|", re.MULTILINE)
    shown = dict(row.findall(_text(SETTINGS)))
    for setting in Settings.list_all():
        if setting is Settings.database_url:  # whose place depends on the user
            assert shown[setting.variable].endswith("tapeworks.db")
        elif "set by a supervisor" not in setting.meaning:
            assert shown[setting.variable] == _shown(setting.default)


def test_architecture_lists_every_folder_and_no_other() -> None:
    listed = re.findall(r"^- `([^`]+)/`: \S", _text(ARCHITECTURE), re.MULTILINE)
    existing = {
        path.parent.relative_to(REPOSITORY).as_posix()
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
    }

    assert sorted(listed) == sorted(existing)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: str(table.name))
def test_schema_shows_every_column(table: Any) -> None:
    part = _text(SCHEMA).partition(f"**{table.name}**")[2].partition("\n**")[0]

    assert sorted(_rows(part)) == sorted(table.columns.keys())


def test_queries_shows_every_view_with_every_column() -> None:
    views = re.split(r"^### ", _section(_text(QUERIES), "The views"), flags=re.MULTILINE)[1:]
    shown = {view.partition("\n")[0]: list(_rows(view)) for view in views}

    assert shown == {view: list(columns) for view, columns in COLUMNS.items()}


def test_formats_shows_every_exit_code() -> None:
    codes = re.findall(r"^\| (\d+) \|", _section(_text(FORMATS), "Exit codes"), re.MULTILINE)

    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_formats_shows_every_redis_key() -> None:
    keys = _text(REPOSITORY / "wire" / "keys.py")
    made = set(re.findall(r'f?"\{PREFIX\}([\w-]+)', keys))
    shown = re.findall(r"`tapeworks:([\w-]+)", _section(_text(FORMATS), "Redis keys"))

    assert made
    assert set(shown) == {*made, QUEUE}


def test_formats_shows_every_field_of_a_shard_message() -> None:
    section = _section(_text(FORMATS), "Messages")
    fields = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    shown = re.findall(r"`(\w+)`", " ".join(fields))

    assert sorted(shown) == sorted(ShardMessage.model_fields)


@pytest.mark.parametrize(("name", "most"), MOST_LINES.items())
def test_a_document_that_is_read_whole_is_short(name: str, most: int) -> None:
    assert len(_text(REPOSITORY / name).splitlines()) <= most


@pytest.mark.parametrize(
    "page", sorted(DECISIONS.glob("[!R]*.md")), ids=lambda path: str(path.name)
)
def test_a_decision_has_question_choice_and_reason_and_is_listed(page: Path) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\*", _text(page), re.MULTILINE)

    assert parts in [["Question", "Choice", "Reason"], ["Question", "Choice", "Reason", "Measured"]]
    assert f"({page.name})" in _text(DECISIONS / "README.md")


def test_an_answers_way_is_told_in_ten_points_at_most_whose_names_exist() -> None:
    text = _section(_text(ARCHITECTURE), "In a worker") + _section(_text(ARCHITECTURE), "An answer")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    sources = "\n".join(_text(path) for room in ROOMS for path in (REPOSITORY / room).rglob("*.py"))
    names = {name.split(".")[-1] for name in re.findall(r"`([A-Z]\w+\.\w+|_\w+|\w+_\w+)`", text)}

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) <= 10
    assert {
        name for name in names if not re.search(rf"def {name}\(|^{name} = ", sources, re.M)
    } == set()


def test_the_programs_of_engine_say_what_is_shown_below_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = _fenced(_text(ENGINE))
    programs = [place for place, (language, _) in enumerate(blocks) if language == "python"]
    assert len(programs) == 1
    for place in programs:
        exec(compile(blocks[place][1], str(ENGINE), "exec"), {})

        assert ("text", capsys.readouterr().out) == blocks[place + 1]


@_DOCUMENTS
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", _text(document), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in _anchors(_text(target))):
            broken.append(link)

    assert broken == []


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@_DOCUMENTS
def test_one_word_per_idea(document: Path) -> None:
    """Parameters are never weights, an iteration is never a step."""
    assert re.findall(r"\b(?:weights?|steps?)\b", _text(document), re.IGNORECASE) == []


def test_the_query_is_shown_as_it_is() -> None:
    assert _text(QUERY) in [block for language, block in _fenced(_text(EXACTLY_ONCE)) if language]


def test_the_queries_prove_that_every_image_was_counted_once(tmp_path: Path) -> None:
    path = history_of_two_iterations(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        proof = database.execute(_text(QUERY)).fetchall()
        violations = [database.execute(query).fetchall() for query in _violation_queries()]

    assert [row[1:] for row in proof] == [
        (iteration, 5, 1, 1, f"w{microbatch}", 1, count)
        for iteration in range(2)
        for microbatch, count in enumerate((2, 2, 1))
    ]
    assert violations == [[]]


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (without(1), (0, 1)),
        (counting(1, 3), (1, 2)),
        (emptied, (0, 0)),
    ],
)
def test_the_queries_find_what_was_not_counted_once(
    tmp_path: Path, fault: Change, times: tuple[int, int]
) -> None:
    path = history_of_two_iterations(tmp_path)
    forge_ledger(path, 1, 2, fault)
    with closing(sqlite3.connect(path)) as database:
        proof = database.execute(_text(QUERY)).fetchall()
        found = [database.execute(query).fetchall() for query in _violation_queries()]

    assert {row[3:5] for row in proof if row[1] == 0} == {(1, 1)}
    assert {row[3:5] for row in proof if row[1] == 1} == {times}
    assert all({row[1] for row in rows} == {1} for rows in found)


def _violation_queries() -> list[str]:
    """The documents' queries that give a row for whatever was not counted once."""
    section = _section(_text(EXACTLY_ONCE), "What was not counted once")
    return [block for language, block in _fenced(section) if language == "sql"]
