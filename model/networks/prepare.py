"""From the settings that people give to those that are stored, with initial parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tapeworks.model import datasets
from tapeworks.model.config import GradientChoice, RunConfig
from tapeworks.model.datasets.source import Split
from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.checking import Case, Found, check_networks
from tapeworks.model.networks.own.spec import LONGEST_SOURCE
from tapeworks.model.parameters import Arrays, initial

#: The settings that decide which images are trained on.
OF_IMAGES = ("network", "dataset", "data_dir", "classes", "images", "image_side")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """A configuration that can be stored, and where its training begins."""

    config: RunConfig
    parameters: Arrays
    source: str | None  #: of a user's network


def prepare(
    configs: Sequence[RunConfig],
    *,
    source: str | None = None,
    load: Callable[[RunConfig], Split] = datasets.load,
) -> list[Prepared]:
    """Prepare runs; those of users' networks are checked on their data, in other processes.

    With a `source` it stands for the files that the configurations name. Raises `NetworkError` for
    a network that cannot work, `DatasetError` for data that it cannot be checked on.
    """
    own = [config for config in configs if not config.is_built_in]
    sources = {config.network: source or read_source(config.network) for config in own}
    read = functools.cache(lambda key: load(dict(keyed)[key]))
    keyed = [(_key(config), config) for config in own]
    cases = [_case(config, sources[config.network], read(key)) for key, config in keyed]
    found = iter(check_networks(cases) if cases else [])
    return [
        _built_in(config)
        if config.is_built_in
        else _own(config, sources[config.network], read(_key(config)), next(found))
        for config in configs
    ]


def read_source(path: str) -> str:
    """Return the text of a network's file. Raises `NetworkError`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise NetworkError(f"The network {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise NetworkError(f"The network {path} is not UTF-8 text.") from error
    if len(text) > LONGEST_SOURCE:
        raise NetworkError(
            f"{path} is too long. Expected at most {LONGEST_SOURCE:,} characters. "
            f"Received: {len(text):,}."
        )
    return text


def _key(config: RunConfig) -> tuple[object, ...]:
    return tuple(getattr(config, name) for name in (*OF_IMAGES, "test_images"))


def _case(config: RunConfig, source: str, data: Split) -> Case:
    size = config.images_in_a_microbatch
    return Case(
        name=Path(config.network).name,
        source=source,
        options=config.options,
        seed=config.seed,
        is_per_image=config.gradients in {GradientChoice.PER_IMAGE, GradientChoice.SUMMED},
        microbatch_size=size,
        images=data.training.images[:size],
        labels=data.training.labels[:size],
    )


def _built_in(config: RunConfig) -> Prepared:
    return Prepared(config=config, parameters=initial(config.built_in, config.seed), source=None)


def _own(config: RunConfig, source: str, data: Split, found: Found) -> Prepared:
    update = {
        "network": Path(config.network).name,
        "options": found.options,
        "network_facts": found.facts,
        "classes": data.classes,
    }
    return Prepared(
        config=config.model_copy(update=update), parameters=found.parameters, source=source
    )
