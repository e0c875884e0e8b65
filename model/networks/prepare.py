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
from tapeworks.model.networks.own.allowed import read_source
from tapeworks.model.networks.own.check.cases import Case, Found, Sample
from tapeworks.model.networks.own.check.checking import check_networks
from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import Arrays, initial

#: The settings that decide which images are trained on.
OF_IMAGES = ("network", "dataset", "data_dir", "classes", "images", "image_side")
#: The settings on which the check of a user's network depends, and what it finds.
OF_CHECK = (*OF_IMAGES, "options", "gradients", "microbatch_size", "seed")

#: Bytes of every image's gradient of one microbatch: an answer has room for them.
MOST_GRADIENT_BYTES = 2**28


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """A configuration that can be stored, and where its training begins."""

    config: RunConfig
    parameters: Arrays
    source: str | None = None  #: of a user's network
    found: Found | None = None  #: by its check


def prepare(
    configs: Sequence[RunConfig],
    *,
    source: str | None = None,
    is_measured: bool = False,
    load: Callable[[RunConfig], Split] = datasets.load,
) -> list[Prepared]:
    """Prepare runs; those of users' networks are checked on their data, in other processes.

    With a `source` it stands for the files that the configurations name. Measured, they tell how
    fast gradients are here. Raises `NetworkError` for a network that cannot work, `DatasetError`
    for data that it cannot be checked on.
    """
    own = [config for config in configs if not config.is_built_in]
    sources = {config.network: source or read_source(config.network) for config in own}
    data = _Data({_key(config): config for config in own}, load)
    cases = [_case(config, sources[config.network], data, is_measured) for config in own]
    found = iter(check_networks(cases))
    return [
        _built_in(config)
        if config.is_built_in
        else _own(config, sources[config.network], data.split(config), next(found))
        for config in configs
    ]


def _key(config: RunConfig) -> tuple[object, ...]:
    return tuple(getattr(config, name) for name in (*OF_IMAGES, "test_images"))


def _case(config: RunConfig, source: str, data: _Data, is_measured: bool) -> Case:
    size = config.images_in_a_microbatch
    return Case(
        name=Path(config.network).name,
        source=source,
        options=config.options,
        seed=config.seed,
        is_per_image=config.gradients in {GradientChoice.PER_IMAGE, GradientChoice.SUMMED},
        microbatch_size=size,
        sample=data.sample(_key(config), size),
        is_measured=is_measured,
    )


class _Data:
    """The data of some configurations, each read once."""

    def __init__(
        self, configs: dict[tuple[object, ...], RunConfig], load: Callable[[RunConfig], Split]
    ) -> None:
        self._read = functools.cache(lambda key: load(configs[key]))
        #: Of so many images.
        self.sample = functools.cache(self._sample)

    def split(self, config: RunConfig) -> Split:
        return self._read(_key(config))

    def _sample(self, key: tuple[object, ...], size: int) -> Sample:
        data = self._read(key)
        return Sample(
            images=data.training.images[:size],
            labels=data.training.labels[:size],
            class_count=len(data.classes),
        )


def _built_in(config: RunConfig) -> Prepared:
    return Prepared(config=config, parameters=initial(config.built_in, config.seed))


def _own(config: RunConfig, source: str, data: Split, found: Found) -> Prepared:
    update = {
        "network": Path(config.network).name,
        "options": found.options,
        "network_facts": found.facts,
        "classes": data.classes,
    }
    checked = config.model_copy(update=update)
    _check_answer(checked)
    return Prepared(config=checked, parameters=found.parameters, source=source, found=found)


def _check_answer(config: RunConfig) -> None:
    """Refuse every image's gradient where one microbatch's are longer than an answer may be."""
    if config.gradient_form is not GradientForm.PER_IMAGE:
        return
    size, count = config.images_in_a_microbatch, config.spec.parameter_count
    needed = 4 * size * count
    if needed > MOST_GRADIENT_BYTES:
        raise NetworkError(
            f"{config.network}: Expected a microbatch's gradients in "
            f"{MOST_GRADIENT_BYTES / 1e6:,.0f} MB of an answer. Received: {size} images × "
            f"{count:,} parameters × 4 bytes = {needed / 1e6:,.0f} MB; choose gradients=summed, or "
            "a smaller microbatch_size."
        )
