"""Checks of runs before they are queued, for what only their driving would show."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tapeworks.model.config import RunConfig
from tapeworks.model.datasets.checking import check_data
from tapeworks.model.errors import ConfigurationError
from tapeworks.model.networks.prepare import Prepared
from tapeworks.model.networks.spec import GradientForm
from tapeworks.wire.limits import LARGEST_ANSWER_BYTES, LARGEST_PAYLOAD_BYTES


def check_queued(
    prepared: Iterable[Prepared], tell: Callable[[str], None] = lambda _: None
) -> None:
    """Refuse runs that a scheduler could not drive, and tell of data sets that it must check.

    Raises `DatasetError` or `ConfigurationError`.
    """
    checked = list(prepared)
    for one in checked:
        _check_messages(one.config)
    # Found by its check, a network of a user's was computed on its data.
    for sentence in check_data(one.config for one in checked if one.found is None):
        tell(sentence)


def _check_messages(config: RunConfig) -> None:
    """Refuse a network whose parameters, or answers to one microbatch, Redis would not take."""
    network = config.spec
    count, header = network.parameter_count, network.header_bytes
    images = min(config.images_in_a_microbatch, config.images_in_an_iteration)
    form = config.gradient_form
    gradients = count * (4 * images if form is GradientForm.PER_IMAGE else 8)
    for name, received, most, advice in (
        ("parameters", 4 * count + header, LARGEST_PAYLOAD_BYTES, "a smaller network"),
        (
            "a microbatch's answer",
            gradients + 4 * len(network.image_values(form)) * images,
            LARGEST_ANSWER_BYTES,
            "a smaller microbatch_size, gradients=summed, or a smaller network",
        ),
    ):
        if received > most:
            raise ConfigurationError(
                f"Workers cannot compute this run: Redis takes {name} of at most "
                f"{most / 1e6:,.0f} MB; choose {advice}. Received: {received / 1e6:,.0f} MB."
            )
