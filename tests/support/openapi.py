"""The OpenAPI document as docs/openapi.json has it; `make openapi` writes it there."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import WebOptions


def openapi_document() -> dict[str, Any]:
    """The document of an application; no database is opened for it."""
    with tempfile.TemporaryDirectory() as directory:
        history = History(Database(Path(directory) / "none.db"))
        return create_app(history, WebOptions()).openapi()


def as_text(document: dict[str, Any]) -> str:
    """The document as text."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text(openapi_document()))
