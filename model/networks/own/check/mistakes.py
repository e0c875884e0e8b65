"""Whatever a user's code raises, as one sentence with the line of the file."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.check.cases import Refusal

#: Characters of an error that a sentence shows.
LONGEST_ERROR = 300

#: Words of errors that are clear only to who knows TensorFlow, and the same in clear words.
CLEARER = {
    "Random ops require a seed": (
        "a random operation without a constant seed; draw with NumPy and the seed in parameters, "
        "or with tf.random.stateless_uniform and its like"
    ),
    "Cannot convert a symbolic": (
        "NumPy cannot compute with what only stands for values; use TensorFlow's functions"
    ),
    "symbolic `tf.Tensor` as a Python `bool`": (
        "Python cannot decide by what only stands for values; use tf.where or tf.cond"
    ),
    "Iterating over a symbolic": (
        "Python cannot loop over what only stands for values; use tf.map_fn, or tf.unstack"
    ),
    "only supports singleton tf.Variables": (
        "tf.Variable is refused, as a worker forgets it; take what is trained from parameters"
    ),
}


@contextlib.contextmanager
def refuse_errors(file: str) -> Iterator[None]:
    """Turn whatever is raised inside into a `Refusal` with the last line of this file."""
    try:
        yield
    except Refusal:
        raise
    except NetworkError as error:
        exit_ = error.__cause__ if isinstance(error.__cause__, SystemExit) else None
        problem = str(error) if exit_ is None else describe_error(exit_)
        raise Refusal(problem, None if exit_ is None else find_line(exit_, file)) from error
    except BaseException as error:
        raise Refusal(describe_error(error), find_line(error, file)) from error


def describe_error(error: BaseException) -> str:
    """Its kind and its words, on one line."""
    text = str(error)
    for words, clearer in CLEARER.items():
        if words in text:
            return f"{clearer} ({type(error).__name__})."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0] == "in user code:":
        lines = lines[-1:]
    message = error.msg if isinstance(error, SyntaxError) else " ".join(lines)
    cut = message if len(message) <= LONGEST_ERROR else f"{message[:LONGEST_ERROR]}…"
    return f"{type(error).__name__}: {cut}".rstrip(": ")


def find_line(error: BaseException, file: str) -> int | None:
    """The innermost line of the file that the error came through."""
    if isinstance(error, SyntaxError) and error.filename in {file, None}:
        return error.lineno
    named = [*named_lines(str(error), file), None][0]
    return last_line(traceback.extract_tb(error.__traceback__), file) or named


def last_line(frames: Iterable[Any] | None, file: str) -> int | None:
    """The innermost line of a stack, outermost frame first, that is of the file."""
    lines = [frame.lineno for frame in frames or () if frame.filename == file]
    return lines[-1] if lines else None


def named_lines(text: str, file: str) -> list[int]:
    """The lines of the file that a text names, in its order."""
    return [int(line) for line in re.findall(rf'File "{re.escape(file)}", line (\d+)', text)]
