"""The check of one network with one set of options, inside the process that runs its code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tapeworks.model.networks.own.allowed import allow, find_source
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
        module = _load(reports, digest)
        options = resolve_options(read_defaults(module), self.values["options"])
        images, labels = self._read_sample()
        if module.logits is not None and not self.values["class_count"]:
            raise Refusal(
                "Expected no logits, as the labels of this data set are targets, not classes. "
                "Received: a function logits; remove it."
            )
        first, drawn = self._draw_all(reports, module, options, module_file(digest))
        from tapeworks.model.networks.own.check.losses import Losses, check_losses

        network = OwnNetwork(
            source_digest=digest,
            arrays=tuple((name, array.shape) for name, array in first.items()),
            input_shape=images.shape[1:],
            input_kind=ArrayKind(images.dtype.name),
            target_shape=labels.shape[1:],
            target_kind=ArrayKind(labels.dtype.name),
            has_logits=module.logits is not None,
            backward=Backward.MICROBATCH,
            operations=0,
            options=tuple(sorted(options.items())),
            class_count=self.values["class_count"],
            microbatch_size=self.values["microbatch_size"],
        )
        found = check_losses(
            Losses(
                reports=reports,
                network=network,
                module=module,
                parameters=first,
                images=images,
                labels=labels,
            ),
            is_per_image=self.values["is_per_image"],
            is_measured=self.values["is_measured"] and self.kept is not None,
        )
        return found | {"options": options, "drawn": drawn}

    def _read_sample(self) -> tuple[NDArray[Any], NDArray[Any]]:
        sample = from_bytes((self.place / f"sample-{self.values['sample']}").read_bytes())
        return sample["images"], sample["labels"]

    def _draw_all(
        self, reports: Reports, module: OwnModule, options: dict[str, Option], file: str
    ) -> tuple[Arrays, list[str]]:
        """The first seed's parameters, and the digests of every seed's."""
        from tapeworks.model.networks.own.check.operations import refuse_variables

        first: Arrays = {}
        digests = []
        for number, seed in enumerate(self.values["seeds"]):
            reports.stage("call of parameters")
            with refuse_errors(file), refuse_variables(file):
                drawn = validate_drawn(module.parameters(seed, **options))
                copied = {name: array.copy() for name, array in drawn.items()}
                again = validate_drawn(module.parameters(seed, **options))
            if draw_digest(copied) != draw_digest(again):
                raise Refusal(
                    "Expected the same parameters from the same seed. Received: others in a second "
                    "call; draw with np.random.default_rng(seed) and nothing else."
                )
            first = first or copied
            if {name: one.shape for name, one in copied.items()} != {
                name: one.shape for name, one in first.items()
            }:
                raise Refusal("Expected parameters of the same shapes for every seed.")
            digests.append(draw_digest(copied))
            if self.kept is not None:
                path = self.kept / f"parameters-{self.number}-{number}"
                path.write_bytes(to_bytes(copied))
        return first, digests


def _load(reports: Reports, digest: str) -> OwnModule:
    """Run the source; what is no Python is found before TensorFlow is loaded."""
    file = module_file(digest)
    with refuse_errors(file):
        reports.stage("import of the file")
        compile(find_source(digest), file, "exec", dont_inherit=True)
        reports.stage("start of TensorFlow", START_SECONDS)
        from tapeworks.model.networks.own.check.operations import refuse_variables

        reports.stage("import of the file")
        with refuse_variables(file):
            return load_module(digest)
