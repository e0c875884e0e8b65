"""TensorFlow, imported and set up so that a computation has the same bits every time it is run.

Import `tf` and `xla` from here only: the settings must stand before TensorFlow is loaded.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from tapeworks.model.engine.flags import FLAGS, THREADS, find_ignored_variables
from tapeworks.model.engine.memory import keep_freed_memory
from tapeworks.model.keras_settings import without_keras_settings

#: TensorFlow loads this module of Keras at import and does without it where Keras is not
#: installed. We do without it too: 2 of 6 seconds, and 100 MB in every worker.
_UNUSED_KERAS_MODULE = "keras.src.optimizers"


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


def _import_tensorflow() -> tuple[Any, Any]:
    """TensorFlow, and XLA's own operations, which only compiled functions may hold."""
    for name in find_ignored_variables(os.environ):
        del os.environ[name]
    os.environ.update(FLAGS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    blocked = _UNUSED_KERAS_MODULE not in sys.modules
    if blocked:
        sys.modules[_UNUSED_KERAS_MODULE] = None  # type: ignore[assignment]
    try:
        with without_keras_settings(), _without_notices():
            import tensorflow
            from tensorflow.compiler.tf2xla.python import xla as xla_operations
    finally:
        if blocked:
            del sys.modules[_UNUSED_KERAS_MODULE]
    tensorflow.get_logger().setLevel("ERROR")
    tensorflow.config.threading.set_intra_op_parallelism_threads(THREADS)
    tensorflow.config.threading.set_inter_op_parallelism_threads(THREADS)
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow, xla_operations


keep_freed_memory()
tf, xla = _import_tensorflow()
