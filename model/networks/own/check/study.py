"""The check of one network with one set of options, inside the process that runs its code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapeworks.model.keras_settings import without_keras_settings
from tapeworks.model.networks.own.allowed import allow, find_source, source_digest
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.check.initial import draw_digest, validate_drawn
from tapeworks.model.networks.own.check.mistakes import refuse_errors
from tapeworks.model.networks.own.check.reports import START_SECONDS, Reports
from tapeworks.model.networks.own.check.signatures import read_defaults, resolve_options
from tapeworks.model.networks.own.module import OwnModule, load_module, module_file
from tapeworks.model.networks.own.spec import Backward, Option, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind
from tapeworks.model.parameters import Arrays, from_bytes, to_bytes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Study:
    """One network to check in this process."""

    place: Path  #: of the samples
    kept: Path | None  #: where initial parameters go, in one of the two processes
    number: int
    values: dict[str, Any]  #: as the parent wrote them

    def check(self, reports: Reports) -> dict[str, Any]:
        """Return what was found. Raises `Refusal`."""
        digest = allow(self.values["source"])
        _start(reports, digest)
        from tapeworks.model.networks.own.check.surroundings import (
            Surroundings,
            refuse_changes,
        )

        before = Surroundings()
        module = _load(reports, digest)
        options = resolve_options(read_defaults(module), self.values["options"])
        if module.logits is not None and not self.values["class_count"]:
            raise Refusal(
                "Expected no logits, as the labels of this data set are targets, not classes. "
                "Received: a function logits; remove it."
            )
        first, drawn = self._draw_all(reports, module, options)
        from tapeworks.model.networks.own.check.losses import Losses, check_losses

        sample = from_bytes((self.place / f"sample-{self.values['sample']}").read_bytes())
        losses = Losses(
            reports=reports,
            network=self._describe(module, options, first, sample),
            module=module,
            parameters=first,
            images=sample["images"],
            labels=sample["labels"],
        )
        found = check_losses(
            losses,
            is_per_image=self.values["is_per_image"],
            is_measured=self.values["is_measured"] and self.kept is not None,
        )
        refuse_changes(before, self.values["source"])
        return found | {"options": options, "drawn": drawn}

    def _describe(
        self, module: OwnModule, options: dict[str, Option], parameters: Arrays, sample: Arrays
    ) -> OwnNetwork:
        """The network as far as it is known before it is traced."""
        return OwnNetwork(
            source_digest=source_digest(self.values["source"]),
            arrays=tuple((name, array.shape) for name, array in parameters.items()),
            input_shape=sample["images"].shape[1:],
            input_kind=ArrayKind(sample["images"].dtype.name),
            target_shape=sample["labels"].shape[1:],
            target_kind=ArrayKind(sample["labels"].dtype.name),
            has_logits=module.logits is not None,
            backward=Backward.MICROBATCH,
            operations=0,
            options=tuple(sorted(options.items())),
            class_count=self.values["class_count"],
            microbatch_size=self.values["microbatch_size"],
        )

    def _draw_all(
        self, reports: Reports, module: OwnModule, options: dict[str, Option]
    ) -> tuple[Arrays, list[str]]:
        """The first seed's parameters, and the digests of every seed's."""
        first: Arrays = {}
        digests = []
        for number, seed in enumerate(self.values["seeds"]):
            reports.stage("call of parameters")
            drawn = self._draw(module, seed, options)
            first = first or drawn
            if _shapes(drawn) != _shapes(first):
                raise Refusal("Expected parameters of the same shapes for every seed.")
            digests.append(draw_digest(drawn))
            if self.kept is not None:
                path = self.kept / f"parameters-{self.number}-{number}"
                path.write_bytes(to_bytes(drawn))
        return first, digests

    def _draw(self, module: OwnModule, seed: int, options: dict[str, Option]) -> Arrays:
        """The parameters of one seed, the same in two calls."""
        from tapeworks.model.networks.own.check.operations import refuse_variables

        file = module_file(source_digest(self.values["source"]))
        with refuse_errors(file), refuse_variables(file):
            drawn = validate_drawn(module.parameters(seed, **options))
            copied = {name: array.copy() for name, array in drawn.items()}
            again = validate_drawn(module.parameters(seed, **options))
        if draw_digest(copied) != draw_digest(again):
            raise Refusal(
                "Expected the same parameters from the same seed. Received: others in a second "
                "call; draw with np.random.default_rng(seed) and nothing else."
            )
        return copied


def _shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _start(reports: Reports, digest: str) -> None:
    """Load TensorFlow, and Keras if it is named, if this is Python at all."""
    reports.stage("import of the file")
    file = module_file(digest)
    with refuse_errors(file):
        compile(find_source(digest), file, "exec", dont_inherit=True)
    reports.stage("start of TensorFlow", START_SECONDS)
    from tapeworks.model.networks.own.check.guards import guard_environment, guard_seeds

    if "keras" in find_source(digest):  # to have it as it is before the file can change it
        with without_keras_settings():
            import keras._tf_keras.keras  # noqa: F401
    guard_environment()
    guard_seeds()


def _load(reports: Reports, digest: str) -> OwnModule:
    """Run the source."""
    from tapeworks.model.networks.own.check.operations import refuse_variables

    file = module_file(digest)
    reports.stage("import of the file")
    with refuse_errors(file), refuse_variables(file):
        return load_module(digest)
