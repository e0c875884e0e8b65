"""Whatever is sent to the REST interface, its answers are those that its schema promises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import APIOperation, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import WebOptions
from tests.support.made_up import commit, submit, submit_and_claim
from tests.support.web import client_of

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[History]:
    """A run with iterations, and one that waits."""
    history = History.open(tmp_path / "runs.db")
    claim = submit_and_claim(history)
    for number in range(3):
        commit(history, claim, number)
    submit(history, name="mine", tags={"a": "b"})
    yield history
    history.database.close()


@pytest.mark.long
@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_the_schema_says(stored: History, mode: GenerationMode) -> None:
    run_id = stored.runs()[-1].id
    app = create_app(stored, WebOptions(hosts=frozenset({"testserver", "localhost"})))
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 18
    for operation in operations:
        _examine(operation, mode, run_id)


def _examine(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, run: str) -> None:
    is_right = mode is GenerationMode.POSITIVE
    checks = CHECKS if is_right else [*CHECKS, negative_data_rejection]

    @settings(
        max_examples=6,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def examine(case: schemathesis.Case[Any]) -> None:
        if is_right and len(case.path_parameters.get("run", "")) % 2:
            case.path_parameters["run"] = run  # not only runs that are not there
        case.validate_response(case.call(), checks=checks)

    examine()


def _random_text(draw: random.Random) -> str:
    letters = ["a", "0", "/", "%", "\\", '"', "{", "[", "=", "&", ";", " ", "é", "\u202e", "\x7f"]
    return "".join(draw.choice(letters) for _ in range(draw.randrange(40)))


def _random_body(draw: random.Random) -> bytes:
    bodies = [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{" * 5000,
        b"[" * 100_000,
        b'{"sql": "SELECT 1", "seconds": NaN}',
        b'{"sql": "SELECT 1", "limit": 1e400}',
        b'{"config": {"seed": ' + b"9" * 5000 + b"}}",
        b'{"config": {"iterations": -Infinity}}',
        b'{"name": "\\ud800"}',
        b'{"reason": "\\u0000"}',
        b'{"sql": "SELECT \\ud800"}',
        b'{"vary": {"seed": [[[[1]]]]}}',
        b'{"config": {"options": {"a": {"b": 1}}}}',
        b'{"tags": {"a": 1e999}}',
        b'{"after": true}',
        draw.randbytes(draw.randrange(200)),
        _random_text(draw).encode(),
    ]
    return draw.choice(bodies)


@pytest.mark.parametrize("seed", range(4))
def test_no_headers_and_no_body_end_in_a_crash(stored: History, seed: int) -> None:
    draw = random.Random(seed)
    paths = list(create_app(stored, WebOptions()).openapi()["paths"])
    names = ["Content-Type", "Accept", "Idempotency-Key", "If-None-Match", "Cookie", "Origin"]
    names += ["Authorization", "Content-Length", "Transfer-Encoding", "X-Forwarded-Host", "Range"]
    with client_of(stored) as client:
        for _ in range(150):
            path = draw.choice(paths).replace(
                "{run}", draw.choice(["mine", quote(_random_text(draw))])
            )
            headers = {
                draw.choice(names): _random_text(draw).encode() for _ in range(draw.randrange(4))
            } | draw.choice([{}, {"Content-Type": b"application/json"}])
            _send(client, draw.choice(METHODS), path, headers, _random_body(draw))


def _send(
    client: TestClient, method: str, path: str, headers: dict[str, bytes], body: bytes
) -> None:
    lines = [(name.encode(), value) for name, value in headers.items()]
    url = path.replace("{iteration}", "0")
    answer = client.request(method, url, headers=lines, content=body)
    assert answer.status_code < 500, (method, path, headers, body, answer.text)
    if answer.status_code >= 400 and path.startswith("/api/") and method != "HEAD":
        assert answer.json()["status"] == answer.status_code
