"""The processes of the check: what ends them, what ends with them, and what they are spared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.check.cases import Found
from tapeworks.model.networks.own.check.checking import check_networks, examine_networks
from tapeworks.model.networks.own.check.probe import hint_at_channels
from tapeworks.model.networks.own.spec import Backward
from tests.support.wrong_networks import (
    LOSSES,
    PARAMETERS,
    make_case,
    make_sample,
    make_source,
)

#: Networks that end their process, or never end, with the sentence about each.
DEADLY = {
    "endless import": (
        make_source(imports="while True: pass\n"),
        (
            "net.py line 4: Expected each part of the check within 3 s. "
            "Received: more for the import of the file."
        ),
    ),
    "exit without a word": (
        make_source(losses="import os\ndef losses(parameters, images, labels):\n    os._exit(7)\n"),
        "net.py: Expected the process to live through the trace of losses. Received: exit code 7.",
    ),
}

MORE_DEADLY = {
    "endless parameters": (
        make_source(parameters="def parameters(seed):\n    while True: pass\n"),
        (
            "net.py line 6: Expected each part of the check within 3 s. "
            "Received: more for the call of parameters."
        ),
    ),
    "endless losses": (
        make_source(losses="def losses(parameters, images, labels):\n    while True: pass\n"),
        (
            "net.py line 13: Expected each part of the check within 3 s. "
            "Received: more for the trace of losses."
        ),
    ),
    "endless computation": (
        make_source(
            losses=LOSSES.replace("return ", "right = ")
            + "    return tf.while_loop(lambda one: True, lambda one: (one * 1,), (right,))[0]\n"
        ),
        (
            "net.py: Expected each part of the check within 3 s. "
            "Received: more for the computation of losses."
        ),
    ),
    "killed": (
        make_source(imports="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"),
        (
            "net.py: Expected the process to live through the import of the file. Received: signal "
            "SIGKILL, as the system sends it when memory is short."
        ),
    ),
    "segmentation fault": (
        make_source(imports="import ctypes\nctypes.string_at(0)\n"),
        (
            "net.py line 5: Expected the process to live through the import of the file. "
            "Received: signal SIGSEGV."
        ),
    ),
}


def _check_deadly(networks: dict[str, tuple[str, str]]) -> None:
    sample = make_sample()
    right = make_case(make_source(), sample)
    cases = [*(make_case(source, sample) for source, _ in networks.values()), right]

    *refusals, last = examine_networks(cases, stage_seconds=3)

    assert [str(refusal) for refusal in refusals] == [words for _, words in networks.values()]
    assert isinstance(last, Found)


def test_a_network_that_ends_its_process_is_refused_and_the_next_is_checked() -> None:
    _check_deadly(DEADLY)


@pytest.mark.long
def test_whatever_ends_a_process_is_told() -> None:
    _check_deadly(MORE_DEADLY)


NORMALISED = """
def losses(parameters, images, labels, *, hidden: int = 4):
    values = logits(parameters, images)
    mean, variance = tf.nn.moments(values, 0)
    normal = (values - mean) / tf.sqrt(variance + 1e-3)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, normal)
"""

#: Finding different labels has no vectorised form.
LOOPED = LOSSES.replace("return ", "right = ") + (
    "    return right + 0 * tf.cast(tf.size(tf.unique(labels)[0]), tf.float32)\n"
)

HARMLESS = """
@tf.function
def grow(values):
    if tf.reduce_sum(values) > 0:
        values = values + 1
    return values


@tf.function
def losses(parameters, images, labels, *, hidden: int = 4):
    right = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(parameters, images))
    noise = tf.random.stateless_normal((3,), (1, 2))
    tf.debugging.assert_all_finite(right, "finite")
    tf.debugging.assert_non_negative(right)
    return grow(right + tf.reduce_sum(noise))
"""

#: Loads modules of TensorFlow's and Keras's that were not, and says what TensorFlow knows.
LOADING = """
import os
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras, sklearn.datasets, tensorflow.nn, tensorflow.random, tensorflow.math
from tensorflow import keras as other
tf.losses.mse, tf.initializers.Zeros, tf.optimizers, tf.metrics
"""

#: Functions of Keras's without parameters of their own, one of them without an import.
KERAS_LOSSES = """
def losses(parameters, images, labels, *, hidden: int = 4):
    flat = keras.ops.reshape(images, (-1, 36))
    inner = keras.activations.gelu(keras.ops.matmul(flat, parameters["first"]))
    found = keras.ops.matmul(inner, parameters["second"])
    return tf.keras.losses.sparse_categorical_crossentropy(labels, found, from_logits=True)
"""


def test_right_networks_are_found_to_be_so() -> None:
    pictures, targets = make_sample(), make_sample(0)
    regression = make_source(
        parameters=PARAMETERS.replace("(hidden, 3)", "(hidden, 1)"),
        losses="""
        def losses(parameters, images, labels, *, power: float = 2.0, flat: bool = True):
            values = tf.reshape(images, (-1, 36)) @ parameters["first"] @ parameters["second"]
            return tf.abs(tf.squeeze(values, 1) - labels) ** power
        """,
        logits="",
    )
    printing = make_source(imports="print('{\"answer\": 1}')\n", losses=HARMLESS)
    given = {"power": "3", "flat": "False", "hidden": "5"}
    cases = [
        make_case(make_source(losses=NORMALISED), pictures),
        make_case(printing, pictures, is_per_image=True),
        make_case(regression, targets, options=given),
        make_case(make_source(), pictures, seed=1),
        make_case(make_source(), pictures, seed=2),
        make_case(make_source(losses=LOOPED), make_sample(images=3), is_per_image=True),
        make_case(make_source(losses=NORMALISED), pictures, is_measured=True),
        make_case(make_source(imports=LOADING, losses=KERAS_LOSSES), pictures, is_per_image=True),
    ]

    normal, harmless, squares, first, second, looped, measured, loading = check_networks(cases)

    assert normal.facts.backward is Backward.MICROBATCH
    assert harmless.facts.backward is Backward.VECTORIZED
    assert set(harmless.printed.splitlines()) == {'{"answer": 1}'}  # whenever it is run
    assert looped.facts.backward is Backward.LOOP
    assert loading.facts.backward is Backward.VECTORIZED
    assert squares.options == {"power": 3.0, "flat": False, "hidden": 5}
    assert squares.facts.arrays == (("first", (36, 5)), ("second", (5, 1)))
    assert not squares.facts.has_logits
    assert first.facts == second.facts
    assert first.facts.operations >= 2 * (36 * 4 + 4 * 3)
    for seed, found in ((1, first), (2, second)):
        drawn = np.random.default_rng(seed).normal(0, 0.1, (36, 4)).astype(np.float32)
        np.testing.assert_array_equal(found.parameters["first"], drawn)
    assert [speed.backward for speed in measured.speeds] == [Backward.MICROBATCH, None]
    assert "batch normalisation" in measured.speeds[1].refusal


@pytest.mark.long
def test_the_processes_end_with_their_parent(tmp_path: Path) -> None:
    trace = tmp_path / "pids"
    source = make_source(
        imports=f"import os\nwith open({str(trace)!r}, 'a') as f: f.write(f'{{os.getpid()}}\\n')\n"
        "while True: pass\n"
    )
    program = (
        "from tests.support.wrong_networks import *\n"
        "from tapeworks.model.networks.own.check.checking import check_networks\n"
        f"check_networks([make_case({source!r}, make_sample())])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not trace.exists() or len(trace.read_text().splitlines()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    for pid in map(int, trace.read_text().split()):
        while _is_alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_an_error_about_pictures_with_channels_first_says_where_they_stand() -> None:
    words = r" \(3, 20, 20\), with channels first, .* \(20, 20, 3\): store images\.transpose\(0, 2,"
    assert re.search(words, hint_at_channels((3, 20, 20)))
    assert not hint_at_channels((20, 20, 3))
    assert not hint_at_channels((3, 20))


def test_a_network_is_refused_before_later_ones_are_checked() -> None:
    wrong = make_case(make_source(losses=""), make_sample())
    endless = make_case(make_source(imports="while True: pass\n"), make_sample())

    with pytest.raises(NetworkError, match=r"^net\.py: Expected a function losses"):
        check_networks([wrong, endless], stage_seconds=60)
