"""REST: requests that are refused, each with a status and one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tapeworks.storage.errors import StorageUnreachable
from tapeworks.storage.history import History
from tapeworks.web import submitting
from tapeworks.web.slots import MOST_QUERIES
from tests.support.made_up import LEASE, submit
from tests.support.web import ADDRESS, client_of

#: A run that is small to store.
SMALL: dict[str, Any] = {"images": 8, "iterations": 6, "image_side": 6, "kernel_sizes": [3]}


#: A file on the server, in place of the network that `SMALL` has.
OWN = {"network": "x.py", "image_side": 27, "kernel_sizes": [3, 5, 7]}


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "words"),
        [
            ("GET", "runs/nobody", None, 404, "There is no run 'nobody'"),
            (
                "GET",
                "runs/there/iterations/9",
                None,
                404,
                "has no iteration 9; it is queued after 0 of 3",
            ),
            ("GET", "runs/mine/images/8", None, 404, "has images 0 to 7; none is 8"),
            ("PATCH", "runs/there", {"note": "a\nb"}, 422, "note"),
            ("PATCH", "runs/there", {"tags": {"": "b"}}, 422, "tag"),
            ("PATCH", "runs/there", {"colour": "b"}, 422, "colour: extra inputs"),
            (
                "GET",
                "runs/there/iterations/9/images",
                None,
                404,
                "has no iteration 9; it is queued after 0 of 3",
            ),
            ("GET", "runs/there/parameters?after=9", None, 404, "after 9 iterations"),
            ("GET", "nowhere", None, 404, "There is nothing at /api/v1/nowhere. All requests that"),
            ("POST", "runs/there/stop", None, 404, "at POST /api/v1/runs/RUN/pause or"),
            ("POST", "runs", {"iterations": 2}, 422, "iterations: settings of a run go into"),
            ("POST", "runs/mine/retry", {"iterations": 2}, 422, "of a run go into changes"),
            ("PUT", "runs", None, 405, "PUT is not possible at /api/v1/runs"),
            ("POST", "runs/there/resume", None, 409, "only a paused one is resumed"),
            ("DELETE", "runs/driven", None, 409, "is running; cancel it first"),
            ("GET", "runs?where=final_lost+%3C+1", None, 422, "Did you mean final_loss?"),
            ("GET", "runs?where=1%3B+DROP+TABLE+runs", None, 422, "The database"),
            ("GET", "runs?where=name+%3D+lr-3", None, 422, "quotation marks: 'lr-3'"),
            ("GET", "runs?sort=colour", None, 422, "There is no column 'colour'"),
            ("GET", "runs?wher=1", None, 422, "wher: extra inputs are not permitted"),
            ("GET", "runs?limit=1001", None, 422, "Received: limit=1001"),
            ("GET", "runs?status=asleep", None, 422, "Received: status.0=asleep"),
            ("GET", "runs?tag=letter", None, 422, "Received: tag letter"),
            ("GET", "runs?since=never", None, 422, "Received: since=never"),
            ("GET", "runs?cursor=WzFd", None, 422, "Expected a page's next_cursor"),
            ("GET", "runs/there/events?cursor=WyJhIl0", None, 422, "a page's next_cursor"),
            ("POST", "query", {"sql": "DELETE FROM runs"}, 422, "queries are read-only"),
            ("POST", "query", {"sql": "SELECT 1", "seconds": 60}, 422, "less than or equal to 30"),
            ("POST", "query", {}, 422, "sql: expected a value"),
            ("POST", "runs", {"config": {"iterations": 0}}, 422, "Received: iterations=0"),
            ("POST", "runs", {"config": {"colour": 0}}, 422, "no setting named 'colour'"),
            ("POST", "runs", {"config": {"network": "x.py"}}, 422, "not taken over HTTP"),
            ("POST", "runs", {"vary": {"network": ["x.py"]}}, 422, "tapeworks submit --network"),
            ("POST", "runs", {"config": {"dataset": "x.npz"}}, 422, "Expected an absolute path"),
            ("POST", "runs", {"config": {"images": 5_000_000}}, 422, "digits has 364 images"),
            ("POST", "runs/mine/retry", {"changes": {"images": 500}}, 422, "digits has 364 images"),
            ("POST", "runs", {"config": {"data_dir": "x"}}, 422, "Expected an absolute path"),
            ("POST", "runs", {"config": {"data_dir": "$HOME"}}, 422, "only ~ is expanded"),
            ("POST", "runs", {"name": "<script>"}, 422, "Received: name='<script>'"),
            ("POST", "runs", {"priority": "1"}, 422, "Received: priority=1"),
            ("POST", "runs", {"vary": {"seed": list(range(1001))}}, 422, "a grid of 1 to 1000"),
            ("POST", "runs", {"config": {"seed": 3}, "vary": {"seed": [1]}}, 422, "leave one out"),
            ("POST", "runs", {"vary": {"seed": [1, 1]}}, 422, "seed=1 twice"),
            ("POST", "runs", {"vary": {"seed": []}}, 422, "a grid of 1 to 1000"),
            ("POST", "runs/mine/retry", {"changes": OWN}, 422, "code is neither taken nor run"),
            ("POST", "runs/mine/retry", {"changes": {"dataset": "x.npz"}}, 422, "an absolute path"),
            ("POST", "runs/mine/retry", {"after": 6}, 422, "before the last of 6 iterations"),
        ],
    )
    def test_a_status_and_the_sentence_of_the_command_line(
        self,
        rest: TestClient,
        history: History,
        method: str,
        path: str,
        body: Any,
        status: int,
        words: str,
    ) -> None:
        submit(history, name="there")
        history.claim(submit(history, name="driven").id, "alice", LEASE)
        rest.post("runs", json={"config": SMALL, "name": "mine"})
        before = history.runs()
        answer = rest.request(method, path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (
            status,
            "application/problem+json",
        )
        problem = answer.json()
        assert problem["status"] == status
        assert words in problem["detail"]
        assert "\n" not in problem["detail"]
        assert history.runs() == before

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("runs", "GET, HEAD, POST"),
            ("runs/mine", "DELETE, GET, HEAD, PATCH"),
            ("runs/mine/pause", "POST"),
            (f"{ADDRESS}/runs/mine/delete", "GET, HEAD, POST"),
            (f"{ADDRESS}/static/app.css", "GET, HEAD"),
        ],
    )
    def test_a_wrong_method_is_told_the_right_ones(
        self, rest: TestClient, path: str, allowed: str
    ) -> None:
        answer = rest.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)

    def test_a_body_of_other_bytes_is_refused(self, rest: TestClient) -> None:
        header = {"Content-Type": "application/json"}
        answer = rest.post("runs", content=b"\x1f\xff", headers=header)
        assert answer.status_code == 400
        assert answer.json()["detail"] == "Expected a body in UTF-8. Received: other bytes."
        for encoding in ("utf-16", "utf-16-le", "utf-32"):
            answer = rest.post("runs", content='{"name": "a"}'.encode(encoding), headers=header)
            assert answer.status_code == 400
        for other in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
            answer = rest.post("runs", content=b'{"name": "a"}', headers=other)
            assert answer.status_code == 422
            assert "the header Content-Type: application/json" in answer.json()["detail"]
        answer = rest.post("runs", content=b"{", headers=header)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("Expected a body in JSON.")

    def test_runs_of_much_memory_are_refused(self, rest: TestClient) -> None:
        large = {"image_side": 400, "kernel_sizes": [1], "filters": 2, "microbatch_size": 1}
        answer = rest.post("runs", json={"config": large, "vary": {"seed": list(range(300))}})
        assert answer.status_code == 422
        assert "submit fewer at a time" in answer.json()["detail"]

    def test_a_database_that_is_gone_is_told(
        self, rest: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> None:
            raise StorageUnreachable("Cannot use the database")

        monkeypatch.setattr(type(history.database), "read", fail)
        answer = rest.get("runs/mine")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "Cannot use the database"
        assert answer.headers["retry-after"] == "5"

    def test_more_queries_than_may_be_are_refused(self, rest: TestClient) -> None:
        slots = rest.app.state.site.query_slots  # type: ignore[attr-defined]
        holds = [slots.hold() for _ in range(MOST_QUERIES)]
        for one in holds:
            one.__enter__()
        answer = rest.post("query", json={"sql": "SELECT 1"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert rest.get("runs?where=1").status_code == 503
        holds[0].__exit__(None, None, None)
        assert rest.post("query", json={"sql": "SELECT 1"}).status_code == 200

    def test_one_data_set_is_read_at_a_time_to_check_runs(
        self, rest: TestClient, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        submit(history, name="mine")
        monkeypatch.setattr(submitting, "PATIENCE_SECONDS", 0.0)
        run = {"config": SMALL}
        with submitting.CHECKS.hold():
            for path, body in (("runs", run), ("runs/mine/retry", {})):
                answer = rest.post(path, json=body)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert "As many submissions" in answer.json()["detail"]
        assert rest.post("runs", json=run).status_code == 201

    def test_where_nothing_may_be_changed_all_can_be_read(self, history: History) -> None:
        submit(history, name="mine")
        with client_of(history, read_only=True) as rest:
            for method, path in (
                ("POST", "runs"),
                ("POST", "runs/mine/pause"),
                ("POST", "runs/mine/retry"),
                ("DELETE", "runs/mine"),
            ):
                answer = rest.request(method, f"/api/v1/{path}")
                assert answer.status_code == 403
                assert answer.json()["detail"].startswith("This web page only reads.")
            assert rest.get("/api/v1/runs/mine").status_code == 200
            answer = rest.post("/api/v1/query", json={"sql": "SELECT count(*) FROM runs"})
            assert answer.json()["rows"] == [[1]]
