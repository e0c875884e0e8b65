"""TensorFlow's import writes and loads nothing that nobody asked for, and hides nothing else."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import ROOT

#: A module of TensorFlow's that is imported meanwhile, and says something of its own.
PROGRAM = """
import gc, os, sys, importlib.abc
class Speaking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            os.write(2, b"a word of another library\\n")
            collecting.append(gc.isenabled())
        if name == "jax":
            sys.stderr.write("looked for JAX\\n")
collecting = []
sys.meta_path.insert(0, Speaking())
from tapeworks.model.engine.runtime import tf
collecting.append(gc.isenabled())
sys.stderr.write(f"afterwards, collecting {collecting}\\n")
assert not {"jax", "keras.src.optimizers"} & sys.modules.keys()
"""


def test_the_import_writes_no_notice_of_onednn_loads_nothing_unused_and_collects_no_garbage() -> (
    None
):
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    told = "a word of another library\nafterwards, collecting [False, True]\n"
    assert process.stderr == told
    assert process.stdout == ""
