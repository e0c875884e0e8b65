"""Clients of a web page over an empty history, in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tests.support.web import client_of


@pytest.fixture
def client(history: History) -> Iterator[TestClient]:
    with client_of(history) as opened:
        yield opened


@pytest.fixture
def rest(client: TestClient) -> TestClient:
    """The same, whose paths are those of REST."""
    client.base_url = client.base_url.join("/api/v1/")
    return client
