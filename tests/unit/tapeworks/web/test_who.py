"""The user for whom REST and the page's forms change something."""

from __future__ import annotations

import socket

from starlette.testclient import TestClient

from tapeworks.storage.actors import own_actor
from tapeworks.storage.history import History
from tapeworks.storage.queries.search import query

SUBMISSION = {"config": {"images": 8, "iterations": 1}, "name": "hers"}


def test_a_client_tells_its_user_and_else_it_is_the_pages_own(
    client: TestClient, history: History
) -> None:
    told, own = (
        f"{socket.gethostname()} (web, told by the client)",
        f"{socket.gethostname()} (web)",
    )
    as_ada = {"Tapeworks-User": "<b>ada"}
    [run] = client.post("/api/v1/runs", json=SUBMISSION, headers=as_ada).json()["runs"]
    assert (run["submitter"], run["submitter_host"]) == ("<b>ada", told)
    assert client.post(f"/runs/{run['id']}/cancel").status_code == 303
    events = client.get("/api/v1/runs/hers/events").json()["items"]
    assert [(one["actor"], one["actor_host"]) for one in events] == [
        ("<b>ada", told),
        (own_actor().user, own),
    ]
    page = client.get(f"/runs/{run['id']}").text
    assert f"by &lt;b&gt;ada on {told}</small>" in page
    assert f"&lt;b&gt;ada on {told}" in page.partition("submitted by")[2]
    listed = [
        client.get("/api/v1/runs", params={"submitter": name}).json()["items"]
        for name in ("<b>ada", "bob")
    ]
    assert [len(items) for items in listed] == [1, 0]
    assert client.delete("/api/v1/runs/hers", headers=as_ada).status_code == 204
    deleted = query(history.database, "SELECT name, actor, actor_host FROM deletions")
    assert deleted.rows == (("hers", "<b>ada", told),)
