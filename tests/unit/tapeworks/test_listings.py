"""Results of a query in every form, unable to do harm in any."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from markdown_it import MarkdownIt

from tapeworks.cli.outputs.listings import Form, as_csv, as_markdown, as_objects, put_listing
from tapeworks.cli.outputs.printing import put_table, visible
from tapeworks.errors import UsageError
from tapeworks.storage.queries.listing import Listing, Value


def listing(*rows: tuple[Value, ...], columns: tuple[str, ...] = ("name", "loss")) -> Listing:
    return Listing(columns=columns, rows=rows)


def printed(found: Listing, form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    put_listing(found, form)
    return capsys.readouterr().out


def read_markdown(text: str) -> list[list[str]]:
    """The cells of a Markdown table; fails if anything in them is not plain text."""
    cells = [
        token.children or []
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text)
        if token.type == "inline"
    ]
    assert {child.type for cell in cells for child in cell} <= {"text", "text_special"}
    texts = ["".join(child.content for child in cell) for cell in cells]
    return [texts[:2], texts[2:]]


def test_a_table_has_numbers_to_the_right_with_six_digits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = listing(("a", 1.23456789), ("longer", None), ("-", 12345678))
    assert printed(found, Form.TABLE, capsys).splitlines() == [
        "name        loss",
        "a        1.23457",
        "longer         -",
        "-       12345678",
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Form.TABLE, "name  loss\n"),
        (Form.CSV, "name,loss\n"),
        (Form.JSON, "[]\n"),
        (Form.MARKDOWN, "| name | loss |\n| --- | --- |\n"),
    ],
)
def test_without_rows_the_columns_are_told(
    form: Form, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(listing(), form, capsys) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ü 手", "plain – ü 手"),
        ("two\nlines\r\tand tabs", "two\\nlines\\r\\tand tabs"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
)
def test_text_cannot_move_a_cursor_or_break_a_line(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert visible(text) == shown
    put_table(["TEXT"], [[text]])
    assert capsys.readouterr().out == f"TEXT\n{shown}\n"
    assert read_markdown(as_markdown(listing((text, 1)))) == [["name", "loss"], [shown, "1"]]


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1+1", "\n=1", "=cmd|' /C calc'!A0", "-", "+x"),
        *("\N{FULLWIDTH EQUALS SIGN}1+1", "\N{FULLWIDTH COMMERCIAL AT}SUM(A1)"),
    ],
)
def test_a_formula_in_csv_is_text(text: str) -> None:
    [row] = csv.reader(io.StringIO(as_csv(listing((text, -1.5)))[len("name,loss\n") :], newline=""))
    assert row == [f"'{text}", "-1.5"]


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\x1b[2J", "\u202e=1"])
def test_a_control_character_in_csv_is_written_as_python_writes_it(text: str) -> None:
    escaped = text[0].encode("unicode_escape").decode() + text[1:]
    assert as_csv(listing((text, 1))) == f"name,loss\n{escaped},1"


def test_the_name_of_a_column_is_no_formula_either() -> None:
    assert as_csv(listing(columns=("=a()", "+b"))) == "'=a(),'+b"


@pytest.mark.parametrize("number", ["-1", "+2.5", "-.5", "-1e-7", "-1.5E+10"])
def test_a_number_in_csv_stays_one_even_as_text(number: str) -> None:
    assert as_csv(listing((number, 1))) == f"name,loss\n{number},1"


def test_csv_keeps_every_digit_and_quotes_what_needs_it() -> None:
    found = listing(("a,b", 0.1 + 0.2), ('say "so"', None), ("two\nlines", -3))
    text = as_csv(found)
    assert text.splitlines()[1] == '"a,b",0.30000000000000004'
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [
        ["a,b", "0.30000000000000004"],
        ['say "so"', ""],
        ["two\nlines", "-3"],
    ]


def test_json_has_an_object_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    found = listing(("\x1b[2J", 0.1 + 0.2), (None, math.inf), ("", -math.inf), ("x", math.nan))
    out = printed(found, Form.JSON, capsys)
    assert "\x1b" not in out
    assert json.loads(out, parse_constant=pytest.fail) == [
        {"name": "\x1b[2J", "loss": 0.1 + 0.2},
        {"name": None, "loss": "Infinity"},
        {"name": "", "loss": "-Infinity"},
        {"name": "x", "loss": "NaN"},
    ]


def test_json_loses_no_column_of_two_that_share_a_name() -> None:
    with pytest.raises(UsageError, match="Two columns are called id"):
        as_objects(listing(columns=("id", "name", "id")))


def test_markdown_escapes_what_ends_a_cell() -> None:
    found = listing(("a | b\\", 1), ("two\nlines", 2.5))
    assert as_markdown(found).splitlines() == [
        "| name | loss |",
        "| --- | ---: |",
        "| a \\| b\\\\ | 1 |",
        "| two\\\\nlines | 2.5 |",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "learning_rate=0.1",
            "_a_ *b* **c** `d` ~~e~~",
            "`` ` ``",
            "a&amp;b &lt;",
            "# 1. - > ---",
        ),
        *(
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<!--",
            "<https://x.example>",
        ),
        *("[a](javascript:alert(1))", "![a](https://x.example/a.png)", "[a]: https://x.example"),
        *("\\| a |", "| --- |", "\\", "\\\\|", "`|`", "\\<b>"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str) -> None:
    found = as_markdown(listing((text, 1), columns=(text, "loss")))
    assert read_markdown(found) == [[text, "loss"], [text, "1"]]
