"""Commands that a document shows."""

from __future__ import annotations

import re


def shell_lines(text: str) -> list[str]:
    """Every line of all blocks that are meant for a shell, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]
