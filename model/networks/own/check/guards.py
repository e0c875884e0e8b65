"""Refusals, in the line that does it, of what a file must not do to the process it shares."""

from __future__ import annotations

import ast
import functools
import linecache
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from tapeworks.model.engine.runtime import tf
from tapeworks.model.networks.own.check.cases import Refusal
from tapeworks.model.networks.own.module import FILE_PREFIX

#: Characters of a line of the file that a sentence shows.
LONGEST_LINE = 100

#: Functions that make the same change as the one by which the change is called.
OTHER_WORDS = {"set_dtype_policy": {"set_global_policy", "set_global_dtype_policy"}}

#: Ways out, by what is changed.
HINTS = {
    "np.random.seed": "draw with np.random.default_rng(seed)",
    "tf.random.set_seed": "draw with np.random.default_rng(seed) or tf.random.stateless_uniform",
}


def refuse_change(name: str, line: int | None, typed: str) -> NoReturn:
    """Raise `Refusal` for a change of this, with what stands in the file's line."""
    by = f", by {typed[:LONGEST_LINE]}" if typed and typed != name else ""
    hint = f"; {HINTS[name]}" if name in HINTS else ""
    raise Refusal(
        "Expected a file that leaves TensorFlow, Keras, NumPy and the environment as they are, "
        f"for other networks are computed beside it. Received: a change of {name}{by}{hint}.",
        line,
    )


@functools.cache
def guard_environment() -> None:
    """Refuse from now on that a file of a network changes a variable of this process."""
    sys.addaudithook(_refuse_variable)


@functools.cache
def guard_seeds() -> None:
    """Refuse from now on that a file of a network seeds the numbers that all would share."""
    for module, name, word in (
        (np.random, "np.random", "seed"),
        (tf.random, "tf.random", "set_seed"),
    ):
        function = getattr(module, word)
        guarded = _guard_seed(function, f"{name}.{word}")
        setattr(module, word, guarded)
        if (origin := sys.modules.get(str(function.__module__))) is not None:
            setattr(origin, word, guarded)  # from where a module that is loaded anew takes it


def find_statement(source: str, name: str, *, is_setting: bool) -> tuple[int | None, str]:
    """The first line that calls a setting, or assigns a name, whatever stands before its dot."""
    word = name.rpartition(".")[2]
    words = {word, *OTHER_WORDS.get(word, ())}
    read = _called if is_setting else _assigned
    lines = sorted(
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.expr | ast.stmt) and words & read(node)
    )
    return (lines[0], source.splitlines()[lines[0] - 1].strip()) if lines else (None, "")


def _called(node: ast.AST) -> set[str]:
    return _words([node.func]) if isinstance(node, ast.Call) else set()


def _assigned(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Assign | ast.Delete):
        return _words(node.targets)
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return _words([node.target])
    if _called(node) & {"setattr", "delattr"}:
        return {str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)}
    return set()


def _words(expressions: list[Any]) -> set[str]:
    return {ast.unparse(one).rpartition(".")[2] for one in expressions}


def _refuse_variable(event: str, values: tuple[Any, ...]) -> None:
    if event not in {"os.putenv", "os.unsetenv"}:
        return
    name, value = os.fsdecode(values[0]), [*map(os.fsdecode, values[1:]), None][0]
    if os.environ.get(name) != value and (found := _find_line()) is not None:
        refuse_change(f"os.environ[{name!r}]", *found)


def _guard_seed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def seed(*values: Any, **named: Any) -> Any:
        if (found := _find_line()) is not None:
            refuse_change(name, *found)
        return function(*values, **named)

    return seed


def _find_line() -> tuple[int, str] | None:
    """The line of a network's file that this comes from; none if a module is being imported."""
    frame = sys._getframe(1)
    while frame is not None and "importlib" not in (file := frame.f_code.co_filename):
        if file.startswith(FILE_PREFIX):
            return frame.f_lineno, linecache.getline(file, frame.f_lineno).strip()
        frame = frame.f_back  # type: ignore[assignment]
    return None
