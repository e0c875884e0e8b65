"""The committed OpenAPI document is the one that is served."""

from __future__ import annotations

from tests.support.openapi import as_text, openapi_document
from tests.support.processes import ROOT


def test_the_committed_document_is_the_one_that_is_served() -> None:
    committed = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    written = as_text(openapi_document())
    assert committed == written, "It has changed; write it with: make openapi"
