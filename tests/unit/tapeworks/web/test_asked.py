"""The query of a page's URL: nothing of it is ignored or lost."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tests.support.made_up import submit


@pytest.mark.parametrize(
    "path",
    [
        *("/runs?since=1d", "/runs/mine?at=3", "/runs/mine/images?sort=loss", "/workers?mine=yes"),
        *("/runs/mine/images/3?by=mean", "/compare?plot=x", "/curves?run=mine&smooth=5"),
        *("/runs/mine/iterations/0?limit=3", "/runs/mine/download.csv?after=2", "/sql?format=csv"),
        "/new?priorities=3",
    ],
)
def test_a_parameter_that_a_page_does_not_know_is_refused(
    client: TestClient, history: History, path: str
) -> None:
    run = submit(history, name="mine")
    answer = client.get(path.replace("/mine/", f"/{run.id}/").replace("/mine?", f"/{run.id}?"))
    assert answer.status_code == 422
    name = path.partition("?")[2].split("&")[-1].partition("=")[0]
    assert f"Received: {name}" in answer.text


def test_the_first_address_keeps_what_is_asked_for(client: TestClient) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "/runs"
    location = client.get("/?where=loss+%3C+1&tag=a", follow_redirects=False).headers["location"]
    assert location == "/runs?where=loss+%3C+1&tag=a"
