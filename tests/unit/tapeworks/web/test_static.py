"""Files that a browser gets as they are: whose they are, and that nobody has changed them."""

from __future__ import annotations

import hashlib
from pathlib import Path

STATIC = Path(__file__).resolve().parents[4] / "tapeworks" / "web" / "static"

#: Those of others, as the npm registry has them in `uplot-1.6.32.tgz`.
DIGESTS = {
    "uPlot-1.6.32.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot-1.6.32.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "uPlot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def test_files_of_others_are_as_they_were_published() -> None:
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in STATIC.iterdir()
        if any(sign.isdigit() for sign in file.name)
    }
    assert found == DIGESTS


def test_a_licence_lies_beside_them() -> None:
    assert "The MIT License" in (STATIC / "uPlot-1.6.32.LICENSE").read_text()
