"""Calls of a program that go wrong, and what Python's own `help` and `repr` tell."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import tapeworks
from tapeworks import RunConfig
from tapeworks.cli.given import read_tags
from tapeworks.client.calls import name_arguments
from tapeworks.model.errors import ConfigurationError

#: Without their types, by which a type checker knows that these calls are wrong.
train: Callable[..., Any] = tapeworks.train
configure: Callable[..., RunConfig] = RunConfig


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"iterations": 20}, "Expected settings in a RunConfig or a dictionary: "),
        ({"iterations": 20}, "train({'iterations': 20}). Received: iterations=20 as an argument"),
        ({"lr": 0.5}, "train({'learning_rate': 0.5})"),
        ({"wrokers": 2}, "train has no argument named 'wrokers'. Did you mean workers?"),
        ({"tags": ["a"]}, "Expected values by name, such as {'night': 'monday'}"),
    ],
)
def test_wrong_arguments_are_told_in_one_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(tapeworks.errors.UsageError) as refusal:
        read_tags("tags", wrong["tags"]) if "tags" in wrong else train(**wrong)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("workers", "as the argument workers of train; on"),
        ("n_workers", "as the argument workers of train; on"),
        ("name", "as the argument name of train and submit; on"),
        ("priority", "as the argument priority of submit; on"),
    ],
)
def test_what_is_no_setting_but_an_argument_is_told_where_it_belongs(name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is no setting of a run") as refusal:
        configure(**{name: 2})
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("holds none out; say it with --test-images.", "holds none out; say it with test_images."),
        (
            "no --to. Received: --to parquet --output x.csv.",
            "no to. Received: to=parquet output=x.csv.",
        ),
        ("Go on with: tapeworks train --resume it", "Go on with: tapeworks train --resume it"),
        ("Seen at --5; it - or --- is none", "Seen at --5; it - or --- is none"),
    ],
)
def test_options_are_named_as_arguments_but_in_commands(sentence: str, told: str) -> None:
    assert name_arguments(sentence) == told


def test_a_configuration_shows_what_differs_and_can_be_given_again() -> None:
    assert repr(RunConfig()) == "RunConfig()"
    config = configure(optimizer="adam", classes=[1, 2], network="own.py", options={"hidden": 3})
    assert eval(repr(config)) == config  # noqa: S307
    assert "unfolding" not in repr(config)


def test_help_tells_what_there_is_and_what_each_setting_means() -> None:
    told, module = inspect.getdoc(RunConfig) or "", inspect.getdoc(tapeworks) or ""
    for name, field in RunConfig.model_fields.items():
        assert (f"- {name}: {field.description}" in told) == (field.description is not None)
    assert all(name in module for name in tapeworks.__all__)
    arguments = inspect.signature(tapeworks.train).parameters
    assert all(f"`{name}`" in (inspect.getdoc(tapeworks.train) or "") for name in arguments)
