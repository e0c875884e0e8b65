"""Whatever is sent to the REST interface, its answers are those that its schema promises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

from tapeworks.storage.history import History
from tapeworks.web.app import create_app
from tapeworks.web.options import WebOptions
from tests.support.made_up import commit, submit, submit_and_claim

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

#: Requests for each operation.
EXAMPLES = int(os.environ.get("TAPEWORKS_TEST_EXAMPLES", "6"))


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
    assert len(operations) == 22
    for operation in operations:
        _examine(operation, mode, run_id)


def _examine(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, run: str) -> None:
    is_right = mode is GenerationMode.POSITIVE
    checks = CHECKS if is_right else [*CHECKS, negative_data_rejection]

    @settings(
        max_examples=EXAMPLES,
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
