"""A run's progress as a program shows it: on a terminal, in a notebook, or not at all."""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tapeworks.cli.outputs.printing import say
from tapeworks.cluster.watching.progress import Bar, MakeBar, terminal_bar

#: Seconds between two updates of a notebook, each of which is a message to a browser.
UPDATE_SECONDS = 0.1

#: Sentences that stay above a notebook's bar.
MOST_SENTENCES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Display:
    """The place where a program shows progress."""

    tell: Callable[[str], None]  #: shows a sentence
    make_bar: MakeBar


class SilentBar:
    """No bar; sentences go to whoever wants them."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        self._tell = tell

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def print(self, sentence: str) -> None:
        self._tell(sentence)

    def update(self, completed: int, text: str) -> None:
        """Nothing."""


class NotebookBar:
    """A bar below a notebook's cell, in HTML without a script, and in plain text beside it."""

    def __init__(self) -> None:
        self._iterations = self._completed = 0
        self._text, self._sentences = "", list[str]()
        self._handle: Any = None
        self._shown_at = float("-inf")

    def of(self, iterations: int, completed: int) -> Bar:
        """Count from here on."""
        self._iterations, self._completed = iterations, completed
        return self

    def start(self) -> None:
        self._show()

    def stop(self) -> None:
        self._show()

    def print(self, sentence: str) -> None:
        self._sentences = [*self._sentences, sentence][-MOST_SENTENCES:]
        self._show()

    def update(self, completed: int, text: str) -> None:
        self._completed, self._text = completed, text
        if time.monotonic() - self._shown_at >= UPDATE_SECONDS:
            self._show()

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(self._bundle(), raw=True, display_id=True)
        else:
            self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        bar, line = "", ""
        if self._iterations:
            line = f"iteration {self._completed}/{self._iterations}  {self._text}".rstrip()
            bar = f"<progress value='{self._completed}' max='{self._iterations}'></progress> "
        shown = "".join(f"{html.escape(sentence)}<br>" for sentence in self._sentences)
        return {
            "text/plain": "\n".join([*self._sentences, *([line] if line else [])]),
            "text/html": f"<div>{shown}{bar}{html.escape(line)}</div>",
        }


def choose_display(*, is_shown: bool) -> Display:
    """Return the terminal or the notebook that this program is used from, else none."""
    if is_shown and in_notebook():
        bar = NotebookBar()
        return Display(tell=bar.print, make_bar=bar.of)
    if is_shown and sys.stderr is not None and sys.stderr.isatty():
        return Display(tell=say, make_bar=terminal_bar)
    silent = SilentBar()
    return Display(tell=silent.print, make_bar=lambda *_: silent)


def in_notebook() -> bool:
    """True where a kernel runs this program for a notebook."""
    shell = sys.modules.get("IPython.core.getipython")
    found = shell.get_ipython() if shell else None
    return getattr(found, "kernel", None) is not None
