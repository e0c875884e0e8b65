"""Text that others have written, as it may be shown on a terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text on one line, and unable to move a terminal's cursor or change its colours."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def visible_lines(text: str) -> str:
    """The text as it may be shown, on as many lines as it has."""
    return "\n".join(map(visible, text.split("\n")))
