"""What TensorFlow is told through the environment, and with how many threads it computes."""

from __future__ import annotations

#: Environment that decides bits. Set, not defaulted: what the user's shell holds must not matter.
FLAGS = {
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN picks kernels by batch size and thread count
    # Vectors as wide as the machine has: faster, and no bit of it, for sums run across images.
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=false --xla_cpu_prefer_vector_width=512",
    "TF_DETERMINISTIC_OPS": "1",
}

#: More threads would split sums differently from machine to machine; workers are processes instead.
THREADS = 1
