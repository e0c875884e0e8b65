"""TensorFlow, imported and set up so that a computation has the same bits every time it is run.

Import `tf` and `xla` from here only: the settings must stand before TensorFlow is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from tapeworks.model.engine.flags import FLAGS, THREADS, find_ignored_variables
from tapeworks.model.engine.memory import keep_freed_memory
from tapeworks.model.keras_settings import without_keras_settings

#: TensorFlow loads these modules at import and does without them where they are not installed. We
#: do without them too: of Keras 2 of 6 seconds, and of each 100 MB in every worker.
_UNUSED = ("keras.src.optimizers", "jax")


#: Parts of the lines that TensorFlow's libraries write at import about oneDNN being on, before they
#: heed any setting of what is logged.
_NOTICES = (b"oneDNN custom operations are on", b"before absl::InitializeLog() is called")


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Keep back what is written to standard error meanwhile, and then write all but `_NOTICES`."""
    with tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not any(notice in line for notice in _NOTICES):
                    os.write(2, line)


@contextlib.contextmanager
def _without_unused() -> Iterator[None]:
    """Let nobody load the unused modules meanwhile, unless they are loaded."""
    blocked = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for garbage among a million new objects, which are none.

    It takes a quarter of the import's processor time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _import_tensorflow() -> tuple[Any, Any]:
    """TensorFlow, and XLA's own operations, which only compiled functions may hold."""
    for name in find_ignored_variables(os.environ):
        del os.environ[name]
    os.environ.update(FLAGS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_unused(), _without_collector(), without_keras_settings(), _without_notices():
        import tensorflow
        from tensorflow.compiler.tf2xla.python import xla as xla_operations
    tensorflow.get_logger().setLevel("ERROR")
    tensorflow.config.threading.set_intra_op_parallelism_threads(THREADS)
    tensorflow.config.threading.set_inter_op_parallelism_threads(THREADS)
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow, xla_operations


keep_freed_memory()
tf, xla = _import_tensorflow()
