"""Losses and logits that break the contract: one sentence each."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.check.cases import Found
from tests.support.wrong_networks import LOSSES, Wrong, examine, make_source


def wrong_losses(body: str, sentence: str, **given: Any) -> Wrong:
    """A network whose losses are wrong; `body` has their lines, the first of which is line 13."""
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    head = "def losses(parameters, images, labels):\n"
    return Wrong(source=make_source(losses=head + lines + "\n"), sentence=sentence, **given)


#: The right losses, in line 13.
RIGHT = "right = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(parameters, images))"

NETWORKS = {
    # Losses
    "one loss for all": wrong_losses(
        f"{RIGHT}\nreturn tf.reduce_mean(right)",
        "net.py: Expected one loss per image, shape (n,), from losses: of 16 images (16,). "
        "Received: shape ().",
    ),
    "column of losses": wrong_losses(
        f"{RIGHT}\nreturn right[:, tf.newaxis]", "Received: shape (16, 1)."
    ),
    "unknown shape": wrong_losses(
        f"{RIGHT}\nreturn tf.boolean_mask(right, right > 1e9)", "Received: shape (0,)."
    ),
    "no result": wrong_losses(RIGHT, "net.py: Expected a tensor from losses. Received: None."),
    "losses in float64": wrong_losses(
        f"{RIGHT}\nreturn tf.cast(right, tf.float64)",
        "net.py: Expected float32 from losses. Received: float64.",
    ),
    "NaN losses": wrong_losses(
        f"{RIGHT}\nreturn tf.math.log(-right)",
        "net.py: Expected finite losses of the data set's images with the initial parameters. "
        "Received: nan among them.",
    ),
    "infinite gradient": wrong_losses(
        f"{RIGHT}\nreturn right + tf.reduce_sum(tf.sqrt(parameters['first'] * 0))",
        "net.py: Expected finite numbers in the gradient of first",
    ),
    "shapes that do not fit": wrong_losses(
        f"{RIGHT}\nreturn right @ parameters['first']", "net.py line 14: ValueError: Shape must be"
    ),
    "error of its own": wrong_losses(
        "raise RuntimeError('not\\nyet')", "net.py line 13: RuntimeError: not yet"
    ),
    "key of no parameter": wrong_losses(
        "return parameters['third']", "net.py line 13: KeyError: 'third'"
    ),
    "NumPy on tensors": wrong_losses(
        f"{RIGHT}\nreturn np.sqrt(right)",
        "net.py line 14: NumPy cannot compute with what only stands for values; use TensorFlow's "
        "functions (NotImplementedError).",
    ),
    "if on a tensor": wrong_losses(
        f"{RIGHT}\nif right[0] > 0:\n    pass\nreturn right",
        "net.py line 14: Python cannot decide by what only stands for values; use tf.where or "
        "tf.cond (OperatorNotAllowedInGraphError).",
    ),
    "failing assertion": wrong_losses(
        f"{RIGHT}\ntf.debugging.assert_less(right, 0.0)\nreturn right",
        "net.py line 14: InvalidArgumentError: ",
    ),
    "unused parameter": wrong_losses(
        "return tf.reduce_sum(images, [1, 2]) * parameters['first'][0, 0]",
        "net.py: Expected every parameter to have a gradient. Received: none for second; use it in "
        "losses, or leave it out.",
    ),
    # State
    "counter": Wrong(
        source=make_source(
            imports="count = [0]\n",
            losses="""
            def losses(parameters, images, labels):
                count[0] += 1
                return count[0] * tf.reduce_sum(logits(parameters, images), 1)
            """,
        ),
        sentence="net.py: Expected the same losses after a second trace. Received: others; the "
        "file uses what changes from call to call, such as a counter, NumPy's random numbers or "
        "the time.",
    ),
    "constant of the process": Wrong(
        source=make_source(
            imports="import os\nnoise = os.getpid() / 1e6\n",
            losses=LOSSES.replace("return ", "return noise * "),
        ),
        sentence="net.py: Expected the same bits of losses and gradients in a second process.",
    ),
    "random operation": wrong_losses(
        f"{RIGHT}\nreturn right * tf.random.uniform(right.shape)",
        "net.py line 14: Expected operations without state in losses. Received: RandomUniform; it "
        "draws other numbers each time; use the stateless one with a constant seed.",
    ),
    "dropout": wrong_losses(
        f"{RIGHT}\nreturn tf.nn.dropout(right, 0.5)",
        "net.py line 14: Expected operations without state in losses. Received: RandomUniform",
    ),
    "random operation in a loop": wrong_losses(
        f"{RIGHT}\nreturn tf.map_fn(\n    lambda one: one + tf.random.normal(()), right)",
        "net.py line 15: Expected operations without state in losses. "
        "Received: RandomStandardNormal",
    ),
    "random at import": Wrong(
        source=make_source(imports="noise = tf.random.normal((3,))\n"),
        sentence="net.py line 4: a random operation without a constant seed; draw with NumPy and "
        "the seed in parameters, or with tf.random.stateless_uniform and its like (RuntimeError).",
    ),
    "variable at import": Wrong(
        source=make_source(imports="scale = tf.Variable(1.0)\n"),
        sentence="net.py line 4: tf.Variable is refused, as a worker forgets it; take what is "
        "trained from parameters.",
    ),
    "variable in losses": wrong_losses(
        f"{RIGHT}\nreturn right * tf.Variable(1.0)", "net.py line 14: tf.Variable is refused"
    ),
    "table": Wrong(
        source=make_source(
            imports="table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer("
            "[0, 1, 2], [1.0, 2.0, 3.0]), 0.0)\n",
            losses=LOSSES.replace("return ", "return table.lookup(labels) * "),
        ),
        sentence="net.py line 14: Expected",
    ),
    "Python function": wrong_losses(
        f"{RIGHT}\nreturn tf.py_function(lambda one: one, [right], tf.float32)",
        "net.py line 14: Expected operations without state in losses. Received: EagerPyFunc; "
        "Python does not run where gradients are computed; use TensorFlow's functions.",
    ),
    "NumPy function": wrong_losses(
        f"{RIGHT}\nreturn tf.numpy_function(lambda one: one, [right], tf.float32)",
        "net.py line 14: Expected operations without state in losses. Received: PyFunc;",
    ),
    "print": wrong_losses(
        f"{RIGHT}\ntf.print(right)\nreturn right",
        "net.py line 14: Expected operations without state in losses. Received: PrintV2; leave "
        "tf.print out, or use print, which shows what is traced.",
    ),
    "file read": wrong_losses(
        f"{RIGHT}\nreturn right + tf.strings.to_number(tf.io.read_file('x'))",
        "net.py line 14: Expected operations without state in losses. Received: ReadFile;",
    ),
    # Image by image
    "batch normalisation": wrong_losses(
        """
        values = logits(parameters, images)
        mean, variance = tf.nn.moments(values, 0)
        normal = (values - mean) / tf.sqrt(variance + 1e-3)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, normal)
        """,
        "net.py: Expected an image's loss not to depend on its neighbours, as each has a gradient "
        "of its own. Received: ",
        is_per_image=True,
    ),
    "only whole microbatches": wrong_losses(
        """
        flat = tf.reshape(images, (16, 36))
        values = flat @ parameters["first"] @ parameters["second"]
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, values)
        """,
        "net.py line 13: ValueError: Cannot reshape",
        is_per_image=True,
    ),
    # Logits
    "too few classes": Wrong(
        source=make_source(
            logits="""
            def logits(parameters, images):
                flat = tf.reshape(images, (-1, 36))
                return (flat @ parameters["first"] @ parameters["second"])[:, :2]
            """,
            losses="""
            def losses(parameters, images, labels):
                return tf.reduce_sum(logits(parameters, images), 1) * parameters["second"][0, 2]
            """,
        ),
        sentence="net.py: Expected a number per image and class, shape (n, classes), from logits: "
        "of 16 images (16, 3). Received: shape (16, 2).",
    ),
    "logits of targets": Wrong(
        source=make_source(),
        has_targets=True,
        sentence="net.py: Expected no logits, as the labels of this data set are targets, not "
        "classes. Received: a function logits; remove it.",
    ),
}


@pytest.fixture(scope="module")
def refusals() -> dict[str, Found | NetworkError]:
    return dict(zip(NETWORKS, examine(NETWORKS.values()), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_wrong_network_is_refused_in_one_sentence(
    refusals: dict[str, Found | NetworkError], name: str
) -> None:
    refusal = refusals[name]

    assert isinstance(refusal, NetworkError)
    assert NETWORKS[name].sentence in str(refusal)
    assert "\n" not in str(refusal)
