"""The questions of docs/queries.md, to be asked of made-up runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.history.made_up import run_id

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "queries.md"

#: The SQL of a question and what it printed.
_ASKED = re.compile(r"^```sql\n([^`]+)\n```\n\n```text\n([^`]+)\n```$", re.MULTILINE)

_RUN_ID = re.compile(r"\d{8}-\d{9}-[0-9a-f]{6}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One question with its SQL."""

    title: str
    sql: str
    header: list[str]  #: the columns that the document shows

    def about(self, numbers: list[int]) -> Question:
        """The same question about made-up runs with these numbers, in the order of mention."""
        mentioned = dict.fromkeys(_RUN_ID.findall(self.sql))
        sql = self.sql
        for found, number in zip(mentioned, numbers, strict=False):
            sql = sql.replace(found, run_id(number))
        return replace(self, sql=sql)


def questions() -> list[Question]:
    """All questions, in the order of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return [
        Question(
            title=text[: found.start()].rpartition("\n### ")[2].partition("\n")[0],
            sql=found[1],
            header=found[2].splitlines()[0].split(),
        )
        for found in _ASKED.finditer(text)
    ]
