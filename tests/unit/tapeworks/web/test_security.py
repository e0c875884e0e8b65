"""The gate before every request, with the real application behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tapeworks.web.security import FORM, HEADERS, MOST_BODY_BYTES
from tests.support.made_up import submit
from tests.support.web import ADDRESS, client_of

TOKEN = "a-token-of-many-characters"

#: Something that writes: there is nothing at this path, which is said to those who may pass.
WRITE = "/somewhere"


@pytest.fixture
def guarded(history: History) -> Iterator[TestClient]:
    """A client of a page that has a token, which the client does not know."""
    with client_of(history, token=TOKEN) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "sentence", "link"),
    [
        ("/run/mine", "one at /runs/RUN, by its id or name.", "/runs/mine"),
        ("/stop", "A run is paused or cancelled on its page, /runs/RUN.", "/runs"),
        ("/api", "All requests that are possible: ", "/api/v1/openapi.json"),
    ],
)
def test_an_unknown_path_leads_to_what_may_be_meant(
    client: TestClient, path: str, sentence: str, link: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert sentence in answer.text.partition('"content"')[2]
    assert f'<a href="{link}">' in answer.text.partition('"content"')[2]


@pytest.mark.parametrize("path", ["/runs", "/static/app.css", "/nowhere", "/api/v1/nowhere"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    given = {name: value for name, value in answer.headers.items() if name in HEADERS}
    assert given | {"cache-control": ""} == HEADERS | {"cache-control": ""}
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9000", "localhost:8470", "LOCALHOST", "[::1]:8470"]
)
def test_a_request_to_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "10.0.0.1", "a b"],
)
def test_a_request_to_another_host_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/runs", headers={"Host": host})
    assert answer.status_code == 421
    assert "Expected one of the host names" in answer.text


def test_an_address_is_a_host_where_the_page_is_served_to_others(history: History) -> None:
    with client_of(history, any_address=True, hosts=frozenset({"trainer"})) as client:
        codes = [
            client.get("/runs", headers={"Host": host}).status_code
            for host in ("10.0.0.1:8470", "trainer", "evil.example")
        ]
    assert codes == [200, 200, 421]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://[::1"},
    ],
)
def test_a_write_for_another_site_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    for path in (WRITE, "/api/v1/runs", "/login"):
        assert client.post(path, headers=headers).status_code == 403


def test_a_write_of_the_page_itself_passes(client: TestClient) -> None:
    assert client.post(WRITE).status_code == 404
    assert client.post(WRITE, headers={"Origin": ADDRESS}).status_code == 404


def test_a_program_without_an_origin_may_use_the_interface_and_no_form(history: History) -> None:
    with client_of(history) as client:
        del client.headers["Sec-Fetch-Site"]
        assert client.post("/api/v1/nowhere").status_code == 404
        assert client.post(WRITE).status_code == 403


def test_a_page_without_the_token_leads_to_the_login(guarded: TestClient) -> None:
    answer = guarded.get("/runs?where=a%20%3C%201")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fruns%3Fwhere%3Da%2520%253C%25201"
    assert guarded.get(answer.headers["location"]).status_code == 200
    assert guarded.get("/static/app.css").status_code == 200


def test_the_interface_and_writes_without_the_token_are_refused(guarded: TestClient) -> None:
    asked = guarded.get("/api/v1/openapi.json")
    assert (asked.status_code, asked.headers["www-authenticate"]) == (
        401,
        'Bearer realm="tapeworks"',
    )
    assert asked.headers["content-type"] == "application/problem+json"
    assert asked.json()["detail"].startswith("Expected the token")
    assert guarded.post(WRITE).status_code == 401


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer wrong", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
    ],
)
def test_the_token_is_taken_as_a_header(guarded: TestClient, header: str, status: int) -> None:
    answer = guarded.get("/api/v1/openapi.json", headers={"Authorization": header})
    assert answer.status_code == status


def log_in(client: TestClient, token: str, wanted: str = "/runs") -> str:
    answer = client.post("/login", data={"token": token, "next": wanted})
    assert answer.status_code == 303
    return answer.headers["location"]


def test_who_logs_in_gets_a_cookie_that_only_this_page_gets(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"token": f" {TOKEN}\n", "next": "/runs?sort=id"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?sort=id")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/runs").status_code == 200
    wrong = guarded.get("/api/v1/openapi.json", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401


def test_a_link_with_the_token_leads_on_without_it(guarded: TestClient) -> None:
    log_in(guarded, TOKEN)
    location = guarded.get("/login", params={"next": "/workers"}).headers["location"]
    assert location == "/workers#"  # without a fragment a browser would keep `#token=…`


def test_who_logs_out_is_not_known_any_more(guarded: TestClient) -> None:
    log_in(guarded, TOKEN)
    assert "Log out" in guarded.get("/nowhere").text
    foreign = {"Host": "evil.example", "Cookie": ""}  # where a browser sends no cookie of this page
    assert "Log out" not in guarded.get("/nowhere", headers=foreign).text
    assert guarded.post("/logout").status_code == 303
    assert guarded.get("/runs").status_code == 303


def test_a_wrong_token_and_a_made_up_cookie_are_refused(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"token": "wrong"})
    assert answer.status_code == 401
    assert "This is not the token" in answer.text
    guarded.cookies.set("tapeworks", TOKEN)
    assert guarded.get("/runs").status_code == 303


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/\n/evil.example"]
)
def test_the_login_leads_to_no_other_site(guarded: TestClient, wanted: str) -> None:
    assert log_in(guarded, TOKEN, wanted) == "/"


def test_a_body_that_is_too_long_is_refused(client: TestClient) -> None:
    answer = client.post(WRITE, content=b"x" * (MOST_BODY_BYTES + 1))
    assert answer.status_code == 413
    parts = (b"x" * 2**16 for _ in range(MOST_BODY_BYTES // 2**16 + 1))
    assert client.post(WRITE, content=parts).status_code == 413
    form = {"Content-Type": FORM}
    assert client.post(WRITE, content=b"x" * MOST_BODY_BYTES, headers=form).status_code == 404


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "a", "", None])
def test_no_other_form_of_forms_is_read(client: TestClient, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = client.post(WRITE, content=b"x=1", headers=headers)
    assert answer.status_code == 415
    assert f"Expected a form, as {FORM}" in answer.text
    written = {"Content-Type": f"{FORM.upper()} ; charset=utf-8"}
    assert client.post(WRITE, content=b"x=1", headers=written).status_code == 404


def test_a_page_that_only_reads_refuses_every_write(history: History) -> None:
    with client_of(history, read_only=True, token=TOKEN) as client:
        log_in(client, TOKEN)
        answers = [
            client.request(method, path)
            for method in ("POST", "PUT", "PATCH", "DELETE")
            for path in (WRITE, "/api/v1/runs")
        ]
        assert {answer.status_code for answer in answers} == {403}
        assert "only reads" in answers[0].text
        assert "read-only" in client.get("/runs").text


def test_a_defect_is_answered_and_logged_without_the_query(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tapeworks.web.pages.runs.find_runs", fail)
    answer = client.get("/runs?where=secret")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_no_template_or_script_needs_what_the_policy_forbids() -> None:
    web = Path(__file__).resolve().parents[4] / "tapeworks" / "web"
    templates = "\n".join(file.read_text() for file in (web / "templates").iterdir())
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|\|\s*safe", templates)
    scripts = "\n".join(file.read_text() for file in (web / "static").glob("[!u]*.js"))
    assert not re.search(r"innerHTML|\beval\b|new Function|document\.write", scripts)
    named = templates.replace('xmlns="http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert not re.search(r"""["'(]https?:""", named + scripts)


def test_what_people_write_is_data(client: TestClient, history: History) -> None:
    submit(history, note="a", tags={"a": "b"})
    with history.database.write() as connection:  # as another program than ours may write
        words = "<script>alert(1)</script>\x1b[31m", "<b>\u202e"
        connection.exec_driver_sql("UPDATE stored_runs SET note = ?", words[:1])
        connection.exec_driver_sql("UPDATE stored_tags SET value = ?", words[1:])
    shown = client.get("/runs?columns=note,tags").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in shown
    assert "&lt;b&gt;\\u202e" in shown
