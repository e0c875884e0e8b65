"""`tapeworks fingerprint`: what a worker of this machine would register, and its parts."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from tapeworks.cli.outputs.describe import as_json
from tapeworks.cli.outputs.printing import put, put_table, say
from tapeworks.errors import ExitCode
from tapeworks.wire.versions import tapeworks_version
from tapeworks.workers.stages import Stage

#: Digits of a part's digest that are shown; `--json` has all.
SHOWN_DIGITS = 16

HEADERS = ("PART", "HERE", "MEANING")

#: Of what is no part.
OTHER_HEADERS = ("MAY DIFFER", "HERE")

#: The parts that the fingerprint is made of, in the order in which they are shown.
MEANINGS = {
    "layerwise": "bits of the built-in network's gradients, norms, losses and sums",
    "full": "the same of its other unfolding, the seed's own",
    "own": "bits of a network as users write them",
    "sums": "the order in which gradients are added",
    "tensorflow": "the version of TensorFlow",
    "flags": "what TensorFlow, XLA and oneDNN are told",
    "threads": "threads in each process",
}

#: Those of x86 that decide bits, as Linux names them.
INSTRUCTIONS = ("fma", "avx2", "avx512f")


@click.command("fingerprint", epilog="Example: tapeworks fingerprint --json")
@click.option("--json", is_flag=True, help="print JSON")
def fingerprint_command(json: bool) -> int:
    """Show this machine's fingerprint: machines with the same one compute the same bits.

    It is the one that a worker registers; a run accepts one. Compare its first line between
    machines: the parts below tell why two differ. What may differ is no part, but other
    processors and instructions are the usual reason for other bits.
    """
    say(Stage.LOADING.sentence)
    model = importlib.import_module("tapeworks.model.fingerprint")
    say(Stage.COMPILING.sentence)
    value, parts = model.fingerprint(), _name_parts(model.fingerprint_parts())
    machine = _describe_machine()
    if json:
        put(as_json({"fingerprint": value, "parts": parts, "machine": machine}))
        return ExitCode.DONE
    whole = "has to be equal on all machines of a run: the hash of the parts"
    rows = [(name, _shorten(parts[name]), meaning) for name, meaning in MEANINGS.items()]
    put_table(HEADERS, [("fingerprint", value, whole), *rows])
    put("")
    put_table(OTHER_HEADERS, [*machine.items()])
    return ExitCode.DONE


def _name_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts with a name for each golden network."""
    layerwise, full = parts["golden"]
    rest = {name: found for name, found in parts.items() if name != "golden"}
    return {"layerwise": layerwise, "full": full, **rest}


def _shorten(found: Any) -> str:
    from tapeworks.model.parameters import digest

    if isinstance(found, dict):
        return digest(as_json(found).encode())[:SHOWN_DIGITS]
    is_digest = isinstance(found, str) and len(found) == len(digest(b""))
    return found[:SHOWN_DIGITS] if is_digest else str(found)


def _describe_machine() -> dict[str, str]:
    """The facts that decide about the bits of a part, and versions that decide about none."""
    cpu = dict(_read_processor())
    flags = cpu.get("flags", "").split()
    model = cpu.get("model name") or platform.processor() or "unknown"
    return {
        "processor": f"{model}, {platform.machine()}",
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags) or "unknown",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "tapeworks": tapeworks_version(),
    }


def _read_processor() -> Iterator[tuple[str, str]]:
    """The facts that Linux tells of the first processor."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
        for line in first.splitlines():
            name, _, value = line.partition(":")
            yield name.strip(), value.strip()
