"""The web page as a process, and browsers that look at it; both serve all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tapeworks.storage.connection.database import Database
from tapeworks.storage.history import History
from tapeworks.storage.tables import database_ids, metadata
from tests.conftest import move_to
from tests.support.postgres import named_database
from tests.support.processes import Start, processes
from tests.support.web import Served, Window, running_browser, serve, window_of

#: Opens a window of the page, with the settings of a browser's context.
Open = Callable[..., Window]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database, for all tests of a module."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def module_history(
    kind: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[History]:
    """A history in a database of this kind, which processes of the module use, too."""
    directory = tmp_path_factory.mktemp("web")
    with pytest.MonkeyPatch.context() as monkeypatch, database_of(kind, directory, request) as url:
        move_to(directory, monkeypatch)
        monkeypatch.setenv("TAPEWORKS_DATABASE_URL", url)
        database = Database(url)
        database.upgrade()
        yield History(database)
        database.close()


@contextmanager
def database_of(kind: str, directory: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new database of this kind."""
    if kind == "sqlite":
        yield str(directory / "runs.db")
        return
    with named_database(lambda: request.getfixturevalue("shared_postgres")) as url:
        yield url


@pytest.fixture(scope="module")
def start_beside(
    module_history: History, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts processes with the module's history, which are ended with the module."""
    with processes(tmp_path_factory.mktemp("processes"), {}) as start:
        yield start


@pytest.fixture(scope="module")
def served(start_beside: Start) -> Served:
    """A page that shows that history."""
    return serve(start_beside)


@pytest.fixture
def served_history(module_history: History, served: Served) -> Iterator[History]:
    """The history that is shown, empty for each test."""
    yield module_history
    with module_history.database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not database_ids:  # which a database gets once, with its tables
                connection.execute(table.delete())


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
