"""TensorFlow's settings in the environment, and the number of threads that it computes with."""

from __future__ import annotations

from collections.abc import Iterable

#: Environment that decides bits. Set, not defaulted: what the user's shell holds must not matter.
FLAGS = {
    # oneDNN picks kernels by shape, threads and instruction set: the first two never change here,
    # the last one is in the fingerprint. What XLA compiles, it does not touch.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "XLA_FLAGS": (
        "--xla_cpu_enable_fast_math=false"
        # Vectors as wide as the machine has: faster, and no bit of it, for sums run across images.
        " --xla_cpu_prefer_vector_width=512"
        # Loops over rows, which read fewer bytes, are compiled whole: a turn costs next to nothing.
        " --xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=300000"
    ),
    "TF_DETERMINISTIC_OPS": "1",
}

#: More threads would split sums differently from machine to machine; workers are processes instead.
THREADS = 1

#: The prefixes of variables that TensorFlow, XLA and oneDNN read, and of those that only decide
#: what TensorFlow logs. What oneDNN logs goes to standard output, into the midst of JSON.
_PREFIXES, _LOGGING = ("TF_", "TF2_", "XLA_", "ONEDNN_", "DNNL_"), "TF_CPP_"


def find_ignored_variables(names: Iterable[str]) -> list[str]:
    """Return those of these variables that TensorFlow would read, and must not."""
    read = (name for name in names if name.startswith(_PREFIXES) and name not in FLAGS)
    return sorted(name for name in read if not name.startswith(_LOGGING))
