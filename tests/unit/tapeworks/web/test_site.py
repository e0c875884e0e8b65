"""Pages that are kept: rendered again where they have changed, and no more than they may cost."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request, Response
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tapeworks.web import site as kept_pages
from tapeworks.web.site import LEFT_SECONDS, MOST_FRESH_SECONDS, SHARE, Site
from tapeworks.web.slots import MOST_QUERIES
from tests.support.made_up import submit


class Clock:
    """Goes forward when it is told to."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


class Pages:
    """Pages at /page/SECONDS that take so long, and how often each was rendered."""

    def __init__(self, client: TestClient, history: History, clock: Clock) -> None:
        self.rendered: dict[float, int] = {}
        self._client, self._history, self._clock = client, history, clock
        self._etags: dict[float, str] = {}
        app: Any = client.app
        site: Site = app.state.site

        def show(request: Request, seconds: float) -> Response:
            def make_context() -> dict[str, Any]:
                clock.now += seconds
                self.rendered[seconds] = self.rendered.get(seconds, 0) + 1
                return {"values": self.rendered[seconds]}

            return site.answer(request, "values.json", make_context, "application/json")

        app.add_api_route("/page/{seconds}", show)

    def open(self, seconds: float) -> None:
        self._etags[seconds] = self._client.get(f"/page/{seconds}").headers["etag"]

    def poll(self, seconds: float) -> int:
        """Return the status of an answer to somebody who has the page."""
        headers = {"if-none-match": self._etags[seconds]}
        answer = self._client.get(f"/page/{seconds}", headers=headers)
        self._etags[seconds] = answer.headers["etag"]
        return answer.status_code

    def change(self) -> None:
        submit(self._history)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(kept_pages, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def pages(client: TestClient, history: History, clock: Clock) -> Pages:
    return Pages(client, history, clock)


def test_a_page_is_rendered_again_only_when_the_database_has_changed(
    pages: Pages, clock: Clock
) -> None:
    pages.open(0.01)
    clock.now += 2
    assert pages.poll(0.01) == 304
    pages.change()
    assert (pages.poll(0.01), pages.poll(0.01)) == (200, 304)
    assert pages.rendered == {0.01: 2}


def test_who_opens_a_page_sees_it_as_it_is_now(pages: Pages) -> None:
    for _ in range(3):
        pages.open(0.3)
        pages.change()
    assert pages.rendered == {0.3: 3}


def test_pages_that_are_looked_at_take_a_small_share_of_a_core(pages: Pages, clock: Clock) -> None:
    costs = [0.02 + number / 10_000 for number in range(20)]
    for cost in costs:
        pages.open(cost)
    began = clock.now
    while clock.now < began + 50:
        pages.change()
        clock.now += 2
        for cost in costs:
            pages.poll(cost)
    spent = sum(cost * (pages.rendered[cost] - 1) for cost in costs)
    assert spent <= SHARE * (clock.now - began) * 1.2
    assert max(pages.rendered.values()) - min(pages.rendered.values()) <= 1, "all get their turn"


def test_no_page_is_older_than_the_longest_time_however_long_it_takes(
    pages: Pages, clock: Clock
) -> None:
    pages.open(5.0)
    pages.change()
    clock.now += MOST_FRESH_SECONDS
    assert pages.poll(5.0) == 200


def test_a_page_that_was_left_costs_others_nothing(pages: Pages, clock: Clock) -> None:
    pages.open(0.5)
    pages.open(0.01)
    clock.now += LEFT_SECONDS + 0.1
    pages.change()
    assert pages.poll(0.01) == 200


def test_a_condition_waits_for_others_and_then_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = client.app
    monkeypatch.setattr("tapeworks.web.pages.runs.PATIENCE_SECONDS", 0.0)
    holds = [app.state.site.query_slots.hold() for _ in range(MOST_QUERIES)]
    for one in holds:
        one.__enter__()
    assert client.get("/runs?where=1%3D1").status_code == 503
    assert client.get("/runs").status_code == 200, "others wait for none of them"
    holds[0].__exit__(None, None, None)
    assert client.get("/runs?where=1%3D1").status_code == 200
