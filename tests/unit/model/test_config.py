"""The run configuration: the seed's numbers, defaults that follow the images, and its record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapeworks.model.config import (
    SUM_ORDER,
    RunConfig,
    default_microbatch_size,
    extract_settings,
    record,
    restore_config,
    run_config,
)
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.networks.builtin.spec import BuiltinNetwork, Unfolding
from tapeworks.model.networks.spec import GradientForm

#: Configurations that differ from the defaults in every setting at least once.
VALID: list[dict[str, Any]] = [
    {
        "network": "lenet.py",
        "options": {"hidden": 120, "rate": 0.5, "deep": True, "kind": "relu"},
        "network_facts": {
            "source_digest": "a" * 64,
            "arrays": [["dense", [3, 120]], ["bias", []]],
            "input_shape": [3],
            "input_kind": "float32",
            "target_shape": [],
            "target_kind": "uint8",
            "has_logits": True,
            "backward": "microbatch",
            "operations": 720,
        },
    },
    {},
    {"unfolding": "full", "gradients": "summed", "allow_mixed_workers": True},
    {"image_side": 9, "kernel_sizes": (2, 3), "filters": 1024, "classes": (0, 1, 2)},
    {"image_side": 1, "kernel_sizes": (1,) * 16, "filters": 1},
    {"dataset": "mnist", "data_dir": "/data", "images": 10_000, "test_images": 5, "iterations": 1},
    {"learning_rate": 0.1 + 0.2, "seed": 2**63 - 1, "microbatch_size": 65536, "shards": 7},
    {"audit": 0.05},
    {"test_images": 5, "evaluate_every": 10, "patience": 3},
    {"images": 10, "images_per_iteration": 3, "optimizer": "momentum", "momentum": 0.0},
    {"optimizer": "adam", "adam_beta_1": 0.8, "adam_beta_2": 0.9, "adam_epsilon": 1e-4},
    {"schedule": "cosine", "warmup_iterations": 49, "final_learning_rate": 1e-5},
    {"image_side": 1024, "kernel_sizes": (1000,), "classes": tuple(range(256))},
    {"checkpoint_every": 10, "record_images_every": 3},
]


# Defaults


def test_the_defaults_are_the_seeds_numbers() -> None:
    config = RunConfig()

    assert config.image_side == 28 - 1
    assert config.kernel_sizes == (3, 5, 7)
    assert config.filters == 5
    assert config.classes == (3, 6)
    assert config.images == 50
    assert config.iterations == 50
    assert config.learning_rate == 1e-3
    assert config.gradient_form is GradientForm.PER_IMAGE
    assert config.unfolding is Unfolding.LAYERWISE


def test_the_default_network_has_the_seeds_shapes() -> None:
    network = RunConfig().built_in

    assert network == BuiltinNetwork()
    assert network.sides == (25, 21, 15)
    assert network.shapes == {
        "conv_1": (5, 3, 3),
        "conv_2": (5, 5, 5),
        "conv_3": (5, 7, 7),
        "dense_1": (2, 5, 15, 15),
    }
    assert list(network.shapes) == ["conv_1", "conv_2", "conv_3", "dense_1"]
    assert network.unfolded_bytes == 4 * 15 * 15 * 7 * 7 * 5 * 5 * 3 * 3


def test_another_networks_shapes_follow_from_its_settings() -> None:
    config = RunConfig(
        image_side=9, kernel_sizes=(2, 3, 1), filters=4, classes=(1, 2, 8), unfolding=Unfolding.FULL
    )

    assert config.built_in.sides == (8, 6, 6)
    assert config.built_in.shapes == {
        "conv_1": (4, 2, 2),
        "conv_2": (4, 3, 3),
        "conv_3": (4, 1, 1),
        "dense_1": (3, 4, 6, 6),
    }
    assert config.built_in.unfolding is Unfolding.FULL


def test_a_kernel_may_leave_a_single_pixel() -> None:
    assert RunConfig(image_side=13).built_in.sides[-1] == 1


# As written on a command line, and as stored


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"classes": "3,6"}, {"classes": (3, 6)}),
        ({"classes": "6, 3, 0"}, {"classes": (6, 3, 0)}),
        ({"kernel_sizes": "5"}, {"kernel_sizes": (5,)}),
        ({"kernel_sizes": [2, 3]}, {"kernel_sizes": (2, 3)}),
        ({"images": "20", "learning_rate": "1e-2"}, {"images": 20, "learning_rate": 0.01}),
    ],
)
def test_values_are_read_as_written_on_a_command_line(
    values: dict[str, Any], expected: dict[str, Any]
) -> None:
    config = run_config(values)

    assert {name: getattr(config, name) for name in expected} == expected
    assert config == RunConfig(**expected)


@pytest.mark.parametrize("values", VALID)
def test_a_configuration_survives_json(values: dict[str, Any]) -> None:
    config = run_config(values)

    stored = json.dumps(config.model_dump(mode="json"))

    back = RunConfig.model_validate(json.loads(stored))
    assert back == config
    assert hash(back) == hash(config)
    assert back.spec == config.spec


@pytest.mark.parametrize("values", VALID)
def test_what_is_stored_names_the_order_of_sums_beside_the_settings(values: dict[str, Any]) -> None:
    config = run_config(values)

    stored = record(config)

    assert stored["sum_order"] == SUM_ORDER
    assert restore_config(json.loads(json.dumps(stored))) == config
    assert set(extract_settings(stored)) == set(RunConfig.model_fields)


def test_the_order_of_sums_is_no_setting() -> None:
    with pytest.raises(ConfigurationError, match="no setting named 'sum_order'"):
        run_config({"sum_order": SUM_ORDER})


def test_every_setting_differs_from_its_default_in_a_stored_example() -> None:
    default = RunConfig()
    changed = {
        name
        for values in VALID
        for name in RunConfig.model_fields
        if getattr(run_config(values), name) != getattr(default, name)
    }

    assert changed == set(RunConfig.model_fields)


@given(rate=st.floats(1e-30, 1e30), seed=st.integers(0, 2**63 - 1))
def test_numbers_survive_json_to_the_last_bit(rate: float, seed: int) -> None:
    config = RunConfig(learning_rate=rate, seed=seed)

    back = RunConfig.model_validate_json(config.model_dump_json())

    assert (back.learning_rate.hex(), back.seed) == (rate.hex(), seed)


def test_a_stored_record_with_an_unknown_setting_is_not_believed() -> None:
    record = RunConfig().model_dump(mode="json") | {"nesterov": True}

    with pytest.raises(ConfigurationError, match="nesterov"):
        RunConfig.model_validate(record)


# Gradients


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        ({"images": 393}, "per-image"),
        ({"images": 394}, "summed"),
        ({"images": 60_000, "images_per_iteration": 393}, "per-image"),
        ({"images": 60_000, "images_per_iteration": 394}, "summed"),
        ({"images": 89, "classes": range(10)}, "per-image"),
        ({"images": 90, "classes": range(10)}, "summed"),
    ],
)
def test_auto_has_gradients_of_more_than_4_mib_summed(settings: dict[str, Any], form: str) -> None:
    assert run_config(settings).gradient_form == form


@pytest.mark.parametrize("form", ["per-image", "summed"])
@pytest.mark.parametrize("images", [1, 10_000])
def test_a_chosen_form_of_gradients_is_kept(form: str, images: int) -> None:
    assert run_config({"gradients": form, "images": images}).gradient_form == form


@pytest.mark.parametrize(
    ("settings", "interval"),
    [
        ({"images": 10_000}, 1),
        ({"images": 10_001}, 100),
        ({"images": 60_000, "images_per_iteration": 10_000}, 1),
        ({"images": 60_000, "record_images_every": 7}, 7),
        ({"record_images_every": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_iterations_of_many_images_are_seldom_recorded_in_full(
    settings: dict[str, Any], interval: int
) -> None:
    assert run_config(settings).recording_interval == interval


# Microbatches


@pytest.mark.parametrize(
    ("images", "size"),
    [(1, 16), (50, 16), (128, 16), (129, 32), (256, 32), (257, 64), (513, 64), (10**7, 64)],
)
def test_the_default_microbatch_size(images: int, size: int) -> None:
    assert default_microbatch_size(images) == size
    assert RunConfig(images=images).built_in.microbatch_size == size


@given(st.integers(1, 10**9))
def test_a_default_microbatch_is_a_power_of_two_from_16_to_64(images: int) -> None:
    assert default_microbatch_size(images) in {16, 32, 64}
    assert default_microbatch_size(images) <= default_microbatch_size(images + 1)


@pytest.mark.parametrize("images", [10, 50, 100, 1000])
def test_a_default_microbatch_depends_on_the_images_alone(images: int) -> None:
    others: list[dict[str, Any]] = [
        {"shards": 1},
        {"shards": 1000},
        {"classes": (0, 1, 2, 3)},
        {"gradients": "summed"},
        {"unfolding": "full"},
        {"iterations": 7, "seed": 3, "filters": 9, "dataset": "mnist"},
    ]

    sizes = {run_config({"images": images} | other).built_in.microbatch_size for other in others}

    assert sizes == {default_microbatch_size(images)}


def test_a_default_microbatch_follows_the_images_of_an_iteration() -> None:
    config = RunConfig(images=10_000, images_per_iteration=200)

    assert config.built_in.microbatch_size == default_microbatch_size(200) == 32


def test_a_given_microbatch_size_is_kept() -> None:
    assert RunConfig(images=1000, microbatch_size=3).built_in.microbatch_size == 3
