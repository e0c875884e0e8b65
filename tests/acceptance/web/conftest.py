"""The web page as a process, and browsers that look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tapeworks.storage.history import History
from tests.support.processes import Start
from tests.support.web import Served, Window, running_browser, serve, window_of

#: Opens a window of the page, with the settings of a browser's context.
Open = Callable[..., Window]


@pytest.fixture
def served_history(
    places: Path, database_url: str, either_history: History, monkeypatch: pytest.MonkeyPatch
) -> History:
    """An empty history in a database of each kind, which processes of this test use, too."""
    monkeypatch.setenv("TAPEWORKS_DATABASE_URL", database_url)
    return either_history


@pytest.fixture
def served(served_history: History, start: Start) -> Served:
    """A page that shows that history."""
    return serve(start)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. For a module only: while it runs, nothing else may use asyncio."""
    with running_browser() as running:
        yield running


@pytest.fixture
def open_window(browser: Browser, served: Served) -> Iterator[Open]:
    """Opens windows, each with cookies of its own."""
    with ExitStack() as windows:

        def open_window(**settings: Any) -> Window:
            return windows.enter_context(window_of(browser, served.address, **settings))

        yield open_window
