"""Measured tables in a document, between marks that stay: `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def fill(document: Path, tables: Mapping[str, Sequence[str]]) -> None:
    """Put each table that has lines into its place. Raises if the document has no such place."""
    text = document.read_text(encoding="utf-8")
    for name, lines in tables.items():
        if not lines:
            continue
        place = re.search(rf"(?<=<!-- {re.escape(name)} -->\n).*?(?=<!-- end -->)", text, re.DOTALL)
        if place is None:
            raise ValueError(f"Expected a place <!-- {name} --> … <!-- end --> in {document}.")
        text = text[: place.start()] + "\n".join([*lines, ""]) + text[place.end() :]
    document.write_text(text, encoding="utf-8")
