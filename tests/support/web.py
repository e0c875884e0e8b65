"""The web page within a test: an application, a client of it, or a process and a browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import WebOptions
from tests.support.processes import Start, Started
from tests.support.waiting import until

#: Where Debian puts it; no browser is downloaded.
CHROMIUM = Path(os.environ.get("TAPEWORKS_TEST_CHROMIUM", "/usr/bin/chromium"))

#: The address that a client in the test's own process uses.
ADDRESS = "http://127.0.0.1:8470"


def client_of(history: History, **options: Any) -> TestClient:
    """A client that behaves as a browser does on this page itself."""
    app = create_app(history, WebOptions(**options))
    headers = {"Sec-Fetch-Site": "same-origin"}
    return TestClient(
        app, ADDRESS, headers=headers, follow_redirects=False, raise_server_exceptions=False
    )


@dataclass(frozen=True)
class Served:
    """A `tapeworks web` that runs."""

    process: Started
    #: What it printed.
    link: str

    @property
    def address(self) -> str:
        """Return the address without a path."""
        found = re.match(r"http://[^/]+", self.link)
        assert found
        return found[0]


def serve(start: Start, *options: str, **variables: str) -> Served:
    """Start it on a free port, and wait until it has printed its address."""
    process = start("web", "--port", "0", *options, **variables)
    until(lambda: process.says("Ctrl-C stops it") and process.out.endswith("\n"), "it is served")
    return Served(process, process.out.strip())


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium, without a window. Skips the test where it is not installed."""
    if not CHROMIUM.exists():
        pytest.skip(f"There is no browser at {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000
        )
        yield browser
        browser.close()


@dataclass
class Window:
    """A browser's window that notes what must not happen."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def forgive(self, status: str) -> None:
        """Take out what the console says of an answer with this status, which was expected."""
        expected = f"responded with a status of {status}"
        found = [said for said in self.complaints if expected in said]
        assert found, f"no answer had the status {status}: {self.complaints}"
        self.complaints = [said for said in self.complaints if said not in found]

    def forgive_silence(self) -> None:
        """Take out what the console says of requests to a server that was not there."""
        refused = "net::ERR_"
        self.complaints = [said for said in self.complaints if refused not in said]

    def expect_nothing_wrong(self) -> None:
        """Fail if a script failed, the console has an error, or a request left the origin."""
        assert self.complaints == []


@contextmanager
def window_of(browser: Browser, address: str, **settings: Any) -> Iterator[Window]:
    """A window with cookies of its own; checked when it is closed."""
    context = browser.new_context(base_url=address, **settings)
    context.set_default_timeout(60_000)
    window = Window(context, context.new_page())
    watch(window, window.page, address)
    try:
        yield window
        window.expect_nothing_wrong()
    finally:
        context.close()


def watch(window: Window, page: Page, address: str) -> None:
    """Note the errors of a page and its requests to others."""

    def tell(said: str) -> None:
        window.complaints.append(said)

    page.on("pageerror", lambda error: tell(f"script: {error}"))
    page.on("console", lambda said: tell(f"console: {said.text}") if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(address) else tell(f"request: {asked.url}"),
    )
