"""TensorFlow's import writes nothing that nobody asked for, and hides nothing else."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import ROOT

#: A module of TensorFlow's that is imported meanwhile, and says something of its own.
PROGRAM = """
import os, sys, importlib.abc
class Speaking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            os.write(2, b"a word of another library\\n")
sys.meta_path.insert(0, Speaking())
from tapeworks.model.engine.runtime import tf
sys.stderr.write("afterwards\\n")
"""


def test_of_what_the_import_writes_only_the_notice_of_onednn_is_left_out() -> None:
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert process.stderr == "a word of another library\nafterwards\n"
    assert process.stdout == ""
