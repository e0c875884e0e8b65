"""REST: what is asked of the history, and what is answered when it cannot be."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tapeworks.model.config import record, run_config
from tapeworks.model.parameters import from_bytes
from tapeworks.storage.history import History
from tapeworks.web.api.models import read_cursor, write_cursor
from tests.support.made_up import commit, submit, submit_and_claim
from tests.support.stories import evaluated
from tests.support.web import ADDRESS, client_of

#: A run that is small to store.
SMALL: dict[str, Any] = {"images": 8, "iterations": 6, "image_side": 6, "kernel_sizes": [3]}


#: A file on the server, in place of the network that `SMALL` has.
OWN = {"network": "x.py", "image_side": 27, "kernel_sizes": [3, 5, 7]}


def items(rest: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return all items of a listing, page after page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = rest.get(path, params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


class TestRuns:
    def test_a_run_is_submitted_as_on_the_command_line(
        self, rest: TestClient, history: History
    ) -> None:
        body = {"config": SMALL, "name": "mine", "tags": {"fold": 3}, "note": "why", "priority": 2}
        answer = rest.post("runs", json=body | {"paused": True})
        assert answer.status_code == 201
        [told] = answer.json()["runs"]
        stored = history.find_run("mine")
        assert stored.configuration == record(run_config(SMALL | {"microbatch_size": 16}))
        assert (stored.status, stored.note, stored.priority) == ("paused", "why", 2)
        assert (told["id"], told["tags"]) == (stored.id, {"fold": "3"})
        assert told == rest.get("runs/mine").json()

    def test_a_grid_is_stored_in_order(self, rest: TestClient, history: History) -> None:
        body = {"config": SMALL, "vary": {"seed": [1, 2], "filters": [1, 2]}, "name": "g"}
        told = rest.post("runs", json=body).json()["runs"]
        assert [run["name"] for run in told] == ["g-1", "g-2", "g-3", "g-4"]
        seeds = [(run["configuration"]["seed"], run["configuration"]["filters"]) for run in told]
        assert seeds == [(1, 1), (1, 2), (2, 1), (2, 2)]
        assert [run.id for run in reversed(history.runs())] == [run["id"] for run in told]

    def test_runs_are_listed_as_on_the_command_line(
        self, rest: TestClient, history: History
    ) -> None:
        for number in range(5):
            submit(history, name=f"n{number}", priority=number % 3, tags={"k": str(number % 2)})
        history.queue.pause(history.find_run("n3").id)

        def names(**query: Any) -> list[str]:
            return [run["name"] for run in items(rest, "runs", **query)]

        assert names(limit=2) == ["n4", "n3", "n2", "n1", "n0"]
        assert names(limit=1, order="asc") == ["n0", "n1", "n2", "n3", "n4"]
        assert names(limit=2, sort="priority") == ["n2", "n4", "n1", "n3", "n0"]
        assert names(limit=1, where="priority < 2", tag="k=0") == ["n4", "n0"]
        assert names(status=["paused", "running"]) == ["n3"]
        assert names(since="1d", limit=3) == ["n4", "n3", "n2", "n1", "n0"]
        assert names(since="2999-01-01") == []

    def test_a_run_is_changed_and_deleted(self, rest: TestClient, history: History) -> None:
        run = submit(history, name="mine")

        def ask(wish: str, **body: Any) -> dict[str, Any]:
            answer = rest.post(f"runs/mine/{wish}", json=body or None)
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told

        assert ask("pause", reason="later") | {"status": "paused", "reason": "later"}
        assert history.find_run(run.id).reason == "later"
        assert ask("resume")["status"] == "queued"
        assert ask("priority", priority=4)["priority"] == 4
        assert ask("cancel")["status"] == "cancelled"
        assert rest.delete("runs/mine").status_code == 204
        assert rest.get("runs/mine").status_code == 404

    def test_a_run_is_retried(self, rest: TestClient, history: History) -> None:
        rest.post("runs", json={"config": SMALL, "name": "mine", "note": "why"})
        body = {"changes": {"learning_rate": 0.5}, "name": "again"}
        answer = rest.post("runs/mine/retry", json=body)
        assert answer.status_code == 201
        again, old = history.find_run("again"), history.find_run("mine")
        assert answer.json()["id"] == again.id
        assert (again.parent_id, again.note) == (old.id, "why")
        assert again.configuration == old.configuration | {"learning_rate": 0.5}
        assert again.parameters_digest == old.parameters_digest

    def test_tags_and_a_note_are_given_apart(self, rest: TestClient, history: History) -> None:
        submit(history, name="mine", note="why", tags={"a": "1", "b": "2"})
        before = history.find_run("mine")
        told = rest.patch("runs/mine", json={"tags": {"fold": 3}}).json()
        assert (told["note"], told["tags"]) == ("why", {"fold": "3"})
        told = rest.patch("runs/mine", json={"note": None}).json()
        assert (told["note"], told["tags"]) == (None, {"fold": "3"})
        assert rest.patch("runs/mine", json={}).json() == told
        assert history.find_run("mine") == replace(before, note=None)
        assert history.tags(before.id) == {"fold": "3"}


class TestIdempotency:
    def test_what_is_sent_again_adds_no_run(self, rest: TestClient, history: History) -> None:
        key = {"Idempotency-Key": "once"}
        body = {"config": SMALL, "vary": {"seed": [1, 2]}}
        first = rest.post("runs", json=body, headers=key)
        again = rest.post("runs", json=body, headers=key)
        assert (again.status_code, again.json()) == (201, first.json())
        retried = [
            rest.post(f"runs/{first.json()['runs'][0]['id']}/retry", json={}, headers=one)
            for one in ({"Idempotency-Key": "retry"}, {"Idempotency-Key": "retry"}, {})
        ]
        ids = [answer.json()["id"] for answer in retried]
        assert ids[0] == ids[1] != ids[2]
        assert len(history.runs()) == 4

    def test_another_request_with_the_same_key_is_refused(self, rest: TestClient) -> None:
        key = {"Idempotency-Key": "once"}
        rest.post("runs", json={"config": SMALL}, headers=key)
        other = rest.post("runs", json={"config": SMALL | {"seed": 3}}, headers=key)
        assert other.status_code == 422
        assert other.json()["error"] == "SubmissionKeyReused"

    def test_many_at_once_store_one_run(self, either_history: History) -> None:
        together = threading.Barrier(6)
        with client_of(either_history) as rest:

            def send(_: int) -> str:
                together.wait()
                key = {"Idempotency-Key": "once"}
                answer = rest.post("/api/v1/runs", json={"config": SMALL}, headers=key)
                return str(answer.json()["runs"][0]["id"])

            with ThreadPoolExecutor(6) as pool:
                ids = set(pool.map(send, range(6)))
        assert ids == {run.id for run in either_history.runs()}
        assert len(ids) == 1


class TestHistory:
    @pytest.fixture
    def run_id(self, history: History) -> str:
        claim = submit_and_claim(history)
        for number in range(3):
            commit(history, claim, number)
        return claim.run_id

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_all_pages_are_the_history(
        self, rest: TestClient, history: History, run_id: str, limit: int
    ) -> None:
        def values(kind: str, name: str) -> list[Any]:
            return [one[name] for one in items(rest, f"runs/{run_id}/{kind}", limit=limit)]

        assert values("iterations", "loss") == [one.loss for one in history.iterations(run_id)]
        ledger = history.ledger(run_id)
        assert values("ledger", "first_image") == [one.first_image for one in ledger]
        assert values("events", "message") == [one.message for one in history.events(run_id)]
        assert values("workers", "images") == [60]
        assert values("checkpoints", "completed_iterations") == [0, 1, 2, 3]
        assert values("evaluations", "loss") == []
        losses = np.frombuffer(history.image_values(run_id, 2).losses, "<f4").tolist()
        assert values("iterations/2/images", "loss") == losses

    def test_one_iteration_and_one_image(
        self, rest: TestClient, history: History, run_id: str
    ) -> None:
        iterations = items(rest, f"runs/{run_id}/iterations")
        assert rest.get(f"runs/{run_id}/iterations/1").json() == iterations[1]
        course = items(rest, f"runs/{run_id}/images/7", limit=2)
        assert [one["iteration"] for one in course] == [0, 1, 2]
        for one in course:
            values = history.image_values(run_id, one["iteration"])
            assert one["loss"] == np.frombuffer(values.losses, "<f4")[7]
            assert values.predictions
            assert one["predicted"] == values.predictions[7]

    def test_what_has_not_changed_is_not_sent_again(
        self, rest: TestClient, history: History
    ) -> None:
        claim = submit_and_claim(history)
        commit(history, claim, 0)
        run, other = f"runs/{claim.run_id}", submit(history)
        kinds = ("events", "iterations", "iterations/0", "images/0", "ledger", "checkpoints")
        of_run = [run, *(f"{run}/{kind}" for kind in kinds), f"{run}/workers", f"{run}/evaluations"]
        lists = ["runs", "runs?where=1", "runs?since=1d"]

        def ask(path: str, etag: str) -> Any:
            return rest.get(path, headers={"If-None-Match": f'"x", W/{etag}'})

        etags = {path: rest.get(path).headers["etag"] for path in of_run + lists}
        assert len(set(etags.values())) == len(etags)
        for path, etag in etags.items():
            answer = ask(path, etag)
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        history.queue.describe(other.id, note="of another")
        assert {ask(path, etags[path]).status_code for path in of_run} == {304}
        assert {ask(path, etags[path]).status_code for path in lists} == {200}
        commit(history, claim, 1)
        assert {ask(path, etags[path]).status_code for path in of_run} == {200}
        etags = {path: rest.get(path).headers["etag"] for path in of_run}
        history.queue.describe(claim.run_id, tags={"a": "b"})
        assert ask(run, etags[run]).status_code == 200
        history.add_event(claim, "note", "something happened")
        assert ask(of_run[1], etags[of_run[1]]).status_code == 200
        for after in (1, 2):  # which measures the same, so that the run's row stays as it is
            etags = {path: rest.get(path).headers["etag"] for path in of_run}
            history.record_evaluation(
                claim, replace(evaluated(after, 1.0, 0.5), run_id=claim.run_id)
            )
            assert ask(of_run[-1], etags[of_run[-1]]).status_code == 200
        path = f"{run}/parameters"
        assert ask(path, rest.get(path).headers["etag"]).status_code == 304

    def test_head_is_answered_as_get_without_a_body(self, rest: TestClient, run_id: str) -> None:
        for path in ("runs", f"runs/{run_id}", f"runs/{run_id}/parameters", f"{ADDRESS}/runs"):
            told, asked = rest.get(path), rest.head(path)
            assert (asked.status_code, asked.content) == (200, b"")
            kept = {"etag", "content-length", "content-type"} & told.headers.keys()
            assert {name: asked.headers[name] for name in kept} == {
                name: told.headers[name] for name in kept
            }
        assert rest.head("runs/nobody").status_code == 404

    def test_the_ledger_of_one_iteration(self, rest: TestClient, run_id: str) -> None:
        entries = items(rest, f"runs/{run_id}/ledger", iteration=1, limit=2)
        found = [(one["iteration"], one["first_image"]) for one in entries]
        assert found == [(1, 0), (1, 8), (1, 16)]

    def test_parameters_are_a_file_of_safetensors(self, rest: TestClient, history: History) -> None:
        rest.post("runs", json={"config": SMALL, "name": "mine"})
        answer = rest.get("runs/mine/parameters")
        assert set(from_bytes(answer.content)) == {"conv_1", "dense_1"}
        run = history.find_run("mine")
        assert answer.headers["etag"] == f'"{run.parameters_digest}"'
        assert f"{run.id}-0.safetensors" in answer.headers["content-disposition"]
        assert rest.get("runs/mine/parameters?after=0").content == answer.content

    def test_numbers_that_json_does_not_have_are_null(self, rest: TestClient) -> None:
        answer = rest.post("query", json={"sql": "SELECT 9e999, -9e999"})
        assert answer.json()["rows"] == [[None, None]]

    def test_sql_is_asked(self, rest: TestClient, run_id: str) -> None:
        asked = {"sql": "SELECT iteration, loss, NULL AS n FROM iterations ORDER BY 1", "limit": 2}
        answer = rest.post("query", json=asked).json()
        assert answer["columns"] == ["iteration", "loss", "n"]
        assert answer["rows"] == [[0, 34.00000000000001, None], [1, 33.00000000000001, None]]
        assert answer["more"] is True
        assert rest.post("query", json=asked | {"limit": 3}).json()["more"] is False


def test_a_cursor_is_read_as_it_was_written() -> None:
    for place, default in (((0,), (0,)), ((None, "id"), (None, "")), ((0.1, "id"), (None, ""))):
        assert read_cursor(write_cursor(*place), *default) == list(place)
