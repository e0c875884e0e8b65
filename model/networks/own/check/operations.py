"""The operations of a traced graph: those that are refused, and the number of those in floats."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.check.mistakes import last_line

#: Stateful operations that only call others, which are looked at themselves, or end the program.
HARMLESS = {
    "Assert", "CheckNumerics", "CheckNumericsV2",
    "Case", "If", "PartitionedCall", "StatefulPartitionedCall", "While",
}  # fmt: skip

#: Operations without state that read what a worker has not.
FOREIGN = {"ReadFile", "MatchingFiles"}

#: Parts of names of refused operations, with the reason and the way out.
HINTS = (
    (("PyFunc",), "Python does not run where gradients are computed; use TensorFlow's functions"),
    (("Print",), "leave tf.print out, or use print, which shows what is traced"),
    (
        ("VarHandle", "VariableV2", "ReadVariable", "AssignVariable", "AssignAdd", "AssignSub"),
        "tf.Variable is refused, as a worker forgets it; take what is trained from parameters",
    ),
    (
        ("Random", "Multinomial", "TruncatedNormal", "Shuffle", "Stateful"),
        "it draws other numbers each time; use the stateless one with a constant seed",
    ),
    (("File",), "a worker has only the text of the network; make what is needed in it"),
)


def refuse_operations(graph: Any, function: str, file: str) -> None:
    """Raise `Refusal` for an operation that has state, with its name and line."""
    for operation, line in _walk(graph, file):
        if not _is_refused(operation):
            continue
        kind = operation.type
        hint = next((text for parts, text in HINTS if any(part in kind for part in parts)), None)
        raise Refusal(
            f"Expected operations without state in {function}. Received: {kind}; "
            f"{hint or 'a worker keeps nothing from call to call'}.",
            line,
        )
    for outside, inside in graph.captures:
        if outside.dtype in {tf.resource, tf.variant}:
            users = inside.consumers()
            named = users[0].type if users else "nothing that uses it"
            raise Refusal(
                f"Expected {function} to use its arguments alone. Received: {named} on a variable "
                "or a table that the file made at its import.",
                last_line(users[0].traceback, file) if users else None,
            )


def count_operations(graph: Any) -> int:
    """The floating-point operations of a graph as TensorFlow counts them; 0 if it cannot."""
    profiler = tf.compat.v1.profiler
    counted = profiler.ProfileOptionBuilder.float_operation()
    options = profiler.ProfileOptionBuilder(counted).with_empty_output().build()
    try:
        return int(profiler.profile(graph, options=options).total_float_ops)
    except Exception:  # noqa: BLE001 - an estimate, and whatever TensorFlow raises
        return 0


@contextlib.contextmanager
def refuse_variables(file: str) -> Iterator[None]:
    """Raise `Refusal` wherever a variable is made inside."""

    def create(_next: Any, **_given: Any) -> Any:
        import traceback

        raise Refusal(
            "tf.Variable is refused, as a worker forgets it; take what is trained from parameters.",
            last_line(traceback.extract_stack(), file),
        )

    with tf.variable_creator_scope(create):
        yield


def _is_refused(operation: Any) -> bool:
    kind = operation.type
    if kind in HARMLESS or kind.startswith("Stateless"):
        return False
    return operation.op_def.is_stateful or kind in FOREIGN or "PyFunc" in kind


def _walk(graph: Any, file: str, outer: int | None = None) -> Iterator[tuple[Any, int | None]]:
    """Every operation of the graph and of the functions that it calls, with its line."""
    for operation in graph.get_operations():
        line = last_line(operation.traceback, file) or outer
        yield operation, line
        for called in _called_graphs(graph, operation):
            yield from _walk(called, file, line)


def _called_graphs(graph: Any, operation: Any) -> Iterator[Any]:
    for attribute in operation.op_def.attr:
        if attribute.type not in {"func", "list(func)"}:
            continue
        value = operation.get_attr(attribute.name)
        for one in value if isinstance(value, list) else [value]:
            called = graph._get_function(one.name)
            if getattr(called, "graph", None) is not None:
                yield called.graph
