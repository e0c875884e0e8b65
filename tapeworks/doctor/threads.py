"""Variables that people set to make TensorFlow faster, and what they do here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tapeworks.doctor.findings import Finding, ok, warning
from tapeworks.model.flags import FLAGS, THREADS

LABEL = "threads"

#: Without any effect: Tapeworks computes with one thread in every process (measured: the same
#: fingerprint).
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

#: What chooses other instructions gives other bits (measured: another fingerprint).
BIT_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def check_threads(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What is set in vain, and what changes bits; of this process, which workers inherit from."""
    wrong = [*_overridden(environment), *_in_vain(environment), *_changing_bits(environment)]
    yield from wrong
    if not wrong:
        yield ok(LABEL, f"{THREADS} for each worker process; nothing in the environment differs")


def _overridden(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name, value in FLAGS.items():
        if environment.get(name, value) != value:
            yield warning(
                LABEL,
                f"{name}={environment[name]} is overridden with {value}, which decides bits",
                f"Unset {name}; it does nothing.",
            )


def _in_vain(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in THREAD_VARIABLES:
        if environment.get(name, str(THREADS)) != str(THREADS):
            yield warning(
                LABEL,
                f"{name}={environment[name]} does nothing: a worker process computes with "
                f"{THREADS} thread",
                "Unset it; use more cores with: tapeworks worker --processes N",
            )


def _changing_bits(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in BIT_VARIABLES:
        if environment.get(name):
            yield warning(
                LABEL,
                f"{name}={environment[name]} gives other bits than machines without it",
                "Unset it, or set it alike on all machines: fingerprints must be equal.",
            )
