"""Refusals of configurations: each names the setting and the value that it received."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.networks.builtin.spec import BuiltinNetwork

#: Values that cannot work, with what the sentence must say was received.
INVALID: list[tuple[dict[str, Any], str]] = [
    ({"network": "lenet"}, "network=lenet"),
    ({"network": ""}, "network="),
    ({"options": {"hidden": 3}}, "option hidden"),
    ({"network": "a.py", "options": {"hidden": [3]}}, "option.hidden="),
    ({"network": "a.py", "options": 3}, "options=3"),
    ({"network": "a.py", "options": {"hidden": None}}, "option.hidden=None"),
    ({"network": "a.py", "network_facts": 3}, "network_facts=3"),
    ({"network": "a.py", "filters": 6}, "filters=6"),
    ({"network": "a.py", "classes": "3"}, "classes=3"),
    ({"gradients": "microbatch"}, "gradients=microbatch"),
    ({"unfolding": "sideways"}, "unfolding=sideways"),
    ({"unfolding": None}, "unfolding=None"),
    ({"image_side": 0}, "image_side=0"),
    ({"image_side": 1025}, "image_side=1025"),
    ({"image_side": "wide"}, "image_side=wide"),
    ({"kernel_sizes": ()}, "kernel_sizes="),
    ({"kernel_sizes": 3}, "kernel_sizes=3"),
    ({"kernel_sizes": (3, 0)}, "kernel_sizes=0"),
    ({"kernel_sizes": "3,-1"}, "kernel_sizes=-1"),
    ({"kernel_sizes": "3,five"}, "kernel_sizes=five"),
    ({"kernel_sizes": (1,) * 17}, "kernel_sizes=" + ",".join("1" * 17)),
    ({"kernel_sizes": (28,)}, "kernel_sizes=28"),
    ({"kernel_sizes": (14, 15)}, "kernel_sizes=14,15"),
    ({"image_side": 12}, "kernel_sizes=3,5,7"),
    ({"unfolding": "full", "image_side": 64, "kernel_sizes": (7, 7, 9)}, "unfolding=full"),
    ({"filters": 0}, "filters=0"),
    ({"filters": 1025}, "filters=1025"),
    ({"filters": 2.5}, "filters=2.5"),
    ({"dataset": ""}, "dataset="),
    ({"dataset": 5}, "dataset=5"),
    ({"data_dir": 5}, "data_dir=5"),
    ({"classes": (3,)}, "classes=3"),
    ({"classes": ()}, "classes="),
    ({"classes": "3,3"}, "classes=3,3"),
    ({"classes": (3, 6, 3)}, "classes=3,6,3"),
    ({"classes": (3, -6)}, "classes=-6"),
    ({"classes": "three,six"}, "classes=three"),
    ({"classes": tuple(range(257))}, "classes=0,1,2,"),
    ({"images": 0}, "images=0"),
    ({"images": -50}, "images=-50"),
    ({"images": None}, "images=None"),
    ({"images": 50.5}, "images=50.5"),
    ({"images": [1, 2]}, "images=1,2"),
    ({"images": 2**31}, f"images={2**31}"),
    ({"images": 16**5000}, "images=a number too long to show"),
    ({"images_per_iteration": 0}, "images_per_iteration=0"),
    ({"images_per_iteration": 51}, "images_per_iteration=51 images=50"),
    ({"images_per_iteration": 2**31}, f"images_per_iteration={2**31}"),
    ({"test_images": -1}, "test_images=-1"),
    ({"test_images": 2**31}, f"test_images={2**31}"),
    ({"evaluate_every": -1, "test_images": 5}, "evaluate_every=-1"),
    ({"evaluate_every": 10}, "evaluate_every=10 test_images=0"),
    ({"patience": -1}, "patience=-1"),
    ({"patience": 2, "test_images": 5}, "patience=2 evaluate_every=0"),
    ({"iterations": 0}, "iterations=0"),
    ({"iterations": 2**31}, f"iterations={2**31}"),
    ({"learning_rate": 0}, "learning_rate=0"),
    ({"learning_rate": -0.001}, "learning_rate=-0.001"),
    ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ({"learning_rate": float("inf")}, "learning_rate=inf"),
    ({"learning_rate": "fast"}, "learning_rate=fast"),
    ({"learning_rate": 1e39}, "learning_rate=1e+39"),  # infinite in float32
    ({"learning_rate": 1e-50}, "learning_rate=1e-50"),  # 0 in float32
    ({"optimizer": "adamw"}, "optimizer=adamw"),
    ({"optimizer": "momentum", "momentum": -0.1}, "momentum=-0.1"),
    ({"optimizer": "momentum", "momentum": 1}, "momentum=1"),
    ({"momentum": 0.5}, "momentum=0.5 optimizer=sgd"),
    ({"momentum": 0.5, "optimizer": "adam"}, "momentum=0.5 optimizer=adam"),
    ({"optimizer": "adam", "adam_beta_1": 1}, "adam_beta_1=1"),
    ({"adam_beta_1": 0.8}, "adam_beta_1=0.8 optimizer=sgd"),
    ({"optimizer": "adam", "adam_beta_2": float("nan")}, "adam_beta_2=nan"),
    ({"adam_beta_2": 0.99, "optimizer": "momentum"}, "adam_beta_2=0.99 optimizer=momentum"),
    ({"optimizer": "adam", "adam_epsilon": 0}, "adam_epsilon=0"),
    ({"adam_epsilon": 1e-7}, "adam_epsilon=1e-07 optimizer=sgd"),
    ({"schedule": "exponential"}, "schedule=exponential"),
    ({"warmup_iterations": -1}, "warmup_iterations=-1"),
    ({"warmup_iterations": 50}, "warmup_iterations=50 iterations=50"),
    ({"schedule": "linear", "final_learning_rate": -1}, "final_learning_rate=-1"),
    ({"schedule": "cosine", "final_learning_rate": 1e31}, "final_learning_rate=1e+31"),
    ({"final_learning_rate": 0.0001}, "final_learning_rate=0.0001 schedule=constant"),
    ({"seed": -1}, "seed=-1"),
    ({"seed": 2**63}, f"seed={2**63}"),
    ({"seed": 0.5}, "seed=0.5"),
    ({"gradients": "mean"}, "gradients=mean"),
    ({"microbatch_size": 0}, "microbatch_size=0"),
    ({"microbatch_size": 65537}, "microbatch_size=65537"),
    ({"microbatch_size": 65536, "filters": 64}, "microbatch_size=65536"),
    ({"image_side": 224, "filters": 128, "images": 512}, "microbatch_size=64, the default"),
    ({"shards": 0}, "shards=0"),
    ({"shards": 2**31}, f"shards={2**31}"),
    ({"checkpoint_every": 0}, "checkpoint_every=0"),
    ({"checkpoint_every": 2**31}, f"checkpoint_every={2**31}"),
    ({"record_images_every": 0}, "record_images_every=0"),
    ({"record_images_every": 2**31}, f"record_images_every={2**31}"),
    ({"audit": -0.1}, "audit=-0.1"),
    ({"audit": 1.5}, "audit=1.5"),
    ({"audit": float("nan")}, "audit=nan"),
    ({"audit": 0.5, "allow_mixed_workers": True}, "audit=0.5 allow_mixed_workers=true"),
    ({"allow_mixed_workers": "maybe"}, "allow_mixed_workers=maybe"),
]


@pytest.mark.parametrize(("values", "received"), INVALID, ids=[text for _, text in INVALID])
def test_a_value_that_cannot_work_is_refused_with_its_name(
    values: dict[str, Any], received: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        run_config(values)

    sentence = str(refusal.value)
    assert f"Received: {received}" in sentence
    assert sentence.endswith((".", "?"))
    assert not sentence.endswith("..")
    assert "\n" not in sentence
    assert "pydantic" not in sentence


def test_every_setting_has_an_invalid_value_here() -> None:
    assert {name for values, _ in INVALID for name in values} == set(RunConfig.model_fields)


def test_a_kernel_too_large_is_told_the_side_that_it_does_not_fit() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        run_config({"kernel_sizes": (14, 15)})

    assert str(refusal.value) == (
        "Kernel sizes leave no pixel of an image side of 27, of which each takes its size less 1: "
        "27 − 13 − 14 is less than 1. Received: kernel_sizes=14,15."
    )


@pytest.mark.parametrize(
    ("unknown", "near"),
    [
        ("learning-rate", "learning_rate"),
        ("iteration", "iterations"),
        ("kernel_size", "kernel_sizes"),
        ("image", "images"),
        ("microbatch", "microbatch_size"),
        ("unfold", "unfolding"),
        ("lr", "learning_rate"),
        ("LR", "learning_rate"),
        ("batch-size", "images_per_iteration"),
        ("epochs", "iterations"),
        ("optim", "optimizer"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(unknown: str, near: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        run_config({unknown: 1})

    assert str(refusal.value) == (f"There is no setting named {unknown!r}. Did you mean {near}?")


def test_an_unknown_name_near_to_nothing_gets_no_hint() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        run_config({"zzz": 1})

    assert str(refusal.value) == "There is no setting named 'zzz'."


@pytest.mark.parametrize(("values", "expected"), [(one, two) for one, two in INVALID[::7]])
def test_a_program_is_told_nothing_in_the_words_of_pydantic(
    values: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        RunConfig(**values)

    told = "".join(traceback.format_exception(refusal.value))
    assert "validation error" not in told
    assert not re.search("[Ii]nput should|unable to parse|String should", told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "Expected settings as JSON (EOF while parsing an object at line 1 column 1)."),
        (3, "Expected settings as a text of JSON. Received: 3."),
        ("[1]", "Expected settings by name. Received: [1]."),
        ('{"images": "x"}', "images: expected a whole number. Received: images=x."),
    ],
)
def test_json_is_refused_in_our_words(text: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        RunConfig.model_validate_json(text)

    assert str(refusal.value).startswith(told)
    assert RunConfig.model_validate_json('{"images": 7}') == RunConfig(images=7)


@pytest.mark.parametrize("name", sorted(RunConfig.model_fields))
def test_no_setting_can_be_changed(name: str) -> None:
    config = RunConfig()

    with pytest.raises(ConfigurationError, match=rf"not changed; .* replace\(\)\. .*{name}="):
        setattr(config, name, getattr(config, name))
    with pytest.raises(ConfigurationError, match=f"del {name}"):
        delattr(config, name)


@pytest.mark.parametrize("copy", [RunConfig.replace, lambda one, **new: one.model_copy(update=new)])
def test_a_copy_with_changes_is_checked_as_a_whole(copy: Callable[..., RunConfig]) -> None:
    config = RunConfig(test_images=5, evaluate_every=2)

    changed = copy(config, seed=3)
    assert (changed.seed, changed.evaluate_every, config.seed) == (3, 2, RunConfig().seed)
    assert copy(config, network="mine.py").classes == ()
    with pytest.raises(ConfigurationError, match=r"'lr'\. Did you mean learning_rate\?"):
        copy(config, lr=1)
    with pytest.raises(ConfigurationError, match="evaluate_every=2 test_images=0"):
        copy(config, test_images=0)


def test_settings_without_names_are_refused_in_our_words() -> None:
    made: Any = RunConfig
    with pytest.raises(ConfigurationError) as refusal:
        made({"seed": 20}, seed=1)

    assert str(refusal.value) == (
        "Expected settings by name, as in RunConfig(seed=1); those of a dictionary as "
        "RunConfig(**settings). Received: RunConfig({'seed': 20})."
    )


def test_a_setting_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"attribute 'lr'\. Did you mean learning_rate\?"):
        _ = RunConfig().lr  # type: ignore[attr-defined]


def test_equal_configurations_are_equal_keys() -> None:
    assert len({RunConfig(), RunConfig(images=50), RunConfig(images=51)}) == 2
    assert len({RunConfig().built_in, BuiltinNetwork(), BuiltinNetwork(filters=6)}) == 2
