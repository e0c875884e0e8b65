"""A user's program as mypy --strict sees it: `make check` reads its types, the test runs it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import pytest

import tapeworks
from tapeworks.errors import InvalidValue
from tapeworks.model.errors import ConfigurationError


def test_a_program_has_types_that_are_checked(places: Path) -> None:
    with tapeworks.connect() as client:
        assert_type(client, tapeworks.Client)
        config = tapeworks.RunConfig(iterations=3, learning_rate=0.01)
        assert_type(config.learning_rate, float)
        assert_type(config.replace(seed=2), tapeworks.RunConfig)
        run = client.submit(config, name="typed", tags={"fold": 3})
        assert_type(run, tapeworks.Run)
        assert_type(run.status, tapeworks.RunStatus)
        assert_type(run.record.test_accuracy, float | None)
        assert_type(client.submit({"iterations": 3}), tapeworks.Run)
        assert_type(client.submit_grid(config, {"seed": [1, 2]}), list[tapeworks.Run])
        assert_type(client.runs(status=["queued", tapeworks.RunStatus.PAUSED]), list[tapeworks.Run])
        assert_type(run.cancel().wait(progress=False), tapeworks.Run)
        assert_type(run.export("typed.json"), Path)


def test_what_is_wrong_is_wrong_for_type_checkers_too(places: Path) -> None:
    with tapeworks.connect() as client:
        with pytest.raises(ConfigurationError, match="Did you mean learning_rate"):
            tapeworks.RunConfig(lr=1)  # type: ignore[call-arg]
        with pytest.raises(InvalidValue, match="config=5"):
            client.submit(5)  # type: ignore[arg-type]
        with pytest.raises(InvalidValue, match="workers=many"):
            tapeworks.train(workers="many")  # type: ignore[arg-type]
        with pytest.raises(AttributeError, match=r"'tarin'\. Did you mean train\?"):
            tapeworks.tarin()  # type: ignore[attr-defined]
        run = client.submit({"iterations": 3})
        with pytest.raises(InvalidValue, match="argument=colour"):
            run.plot(colour="red")  # type: ignore[call-arg]
