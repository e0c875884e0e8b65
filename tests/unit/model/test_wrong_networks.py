"""Files, functions, options and parameters that break the contract: one sentence each."""

from __future__ import annotations

import pytest

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.check.cases import Found
from tests.support.wrong_networks import LOSSES, PARAMETERS, Wrong, examine, make_source


def wrong_parameters(body: str, sentence: str) -> Wrong:
    """A network whose parameters are wrong; `body` begins in line 6."""
    source = make_source(parameters=f"def parameters(seed):\n    {body}\n")
    return Wrong(source=source, sentence=sentence)


def change(imports: str, words: str) -> Wrong:
    """A network that changes what others see in line 4 or later; `words` are about the change."""
    return Wrong(source=make_source(imports=imports), sentence=f"Received: a change of {words}.")


#: Changes of what other networks compute with.
CHANGES = {
    "setting of TensorFlow": change(
        "tf.config.optimizer.set_jit(True)\n",
        "tf.config.optimizer.set_jit, by tf.config.optimizer.set_jit(True)",
    ),
    "setting of NumPy": change(
        "np.seterr(all='ignore')\n", "np.seterr, by np.seterr(all='ignore')"
    ),
    "setting of Keras": change(
        "import keras\nkeras.backend.set_floatx('float16')\n",
        "keras.config.set_floatx, by keras.backend.set_floatx('float16')",
    ),
    "setting of Keras under another name": change(
        "from keras import mixed_precision as m\nm.set_global_policy('mixed_bfloat16')\n",
        "keras.config.set_dtype_policy, by m.set_global_policy('mixed_bfloat16')",
    ),
    "function in TensorFlow": change(
        "tf.nn.relu = tf.nn.relu6\n", "tf.nn.relu, by tf.nn.relu = tf.nn.relu6"
    ),
    "function in a module that is loaded anew": change(
        "import tensorflow.nn as nn\nsetattr(nn, 'elu', nn.relu6)\n",
        "tf.nn.elu, by setattr(nn, 'elu', nn.relu6)",
    ),
    "name of a module that Keras loads anew": change(
        "import keras\ntf.experimental.Optional = 1\n",
        "tf.experimental.Optional, by tf.experimental.Optional = 1",
    ),
    "module": change("tf.experimental = tf.nn\n", "tf.experimental, by tf.experimental = tf.nn"),
    "function in Keras": change(
        "import keras\nkeras.ops.relu = keras.ops.relu6\n",
        "keras.ops.relu, by keras.ops.relu = keras.ops.relu6",
    ),
    "function in TensorFlow's Keras": change(
        "tf.keras.activations.relu = tf.nn.relu6\n",
        "keras.activations.relu, by tf.keras.activations.relu = tf.nn.relu6",
    ),
    "variable in the environment": change(
        "import os\nos.environ['HOME'] = '/'\n",
        "os.environ['HOME'], by os.environ['HOME'] = '/'",
    ),
    "backend of Keras": change(
        "import os\nos.environ['KERAS_BACKEND'] = 'jax'\nimport keras\n",
        "os.environ['KERAS_BACKEND'], by os.environ['KERAS_BACKEND'] = 'jax'",
    ),
    "seed of NumPy": change(
        "np.random.seed(1)\n",
        "np.random.seed, by np.random.seed(1); draw with np.random.default_rng(seed)",
    ),
    "seed of all": change(
        "tf.keras.utils.set_random_seed(1)\n",
        "np.random.seed, by tf.keras.utils.set_random_seed(1); draw with "
        "np.random.default_rng(seed)",
    ),
    "seed of TensorFlow": change(
        "tf.random.set_seed(1)\n",
        "tf.random.set_seed, by tf.random.set_seed(1); draw with np.random.default_rng(seed) "
        "or tf.random.stateless_uniform",
    ),
}

NETWORKS = {
    # The file
    "syntax error": Wrong(
        source=make_source(imports="x = = 1\n"),
        sentence="net.py line 4: SyntaxError: invalid syntax",
    ),
    "import of what is not there": Wrong(
        source=make_source(imports="import no_such_module\n"),
        sentence="net.py line 4: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "error at import": Wrong(
        source=make_source(imports="one = 1\ntwo = one / 0\n"),
        sentence="net.py line 5: ZeroDivisionError: division by zero",
    ),
    "exit at import": Wrong(
        source=make_source(imports="import sys\nsys.exit(3)\n"),
        sentence="net.py line 5: SystemExit: 3",
    ),
    "file beside it": Wrong(
        source=make_source(imports="start = np.load('start.npy')\n"),
        sentence="net.py line 4: FileNotFoundError: [Errno 2] No such file or directory: "
        "'start.npy'",
    ),
    "NUL": Wrong(
        source=make_source() + "\0",
        sentence="net.py: SyntaxError: source code string cannot contain null bytes",
    ),
    # Functions
    "no losses": Wrong(
        source=make_source(losses=""),
        sentence="net.py: Expected a function losses in the file. Received: nothing of that name.",
    ),
    "no parameters": Wrong(
        source=make_source(parameters="parameters = 3\n"),
        sentence="net.py: Expected a function parameters in the file. "
        "Received: an object of type int.",
    ),
    "a class": Wrong(
        source=make_source(losses="class losses: pass\n"),
        sentence="net.py: Expected a function losses in the file. "
        "Received: an object of type type.",
    ),
    "too few arguments": Wrong(
        source=make_source(losses="def losses(parameters, images):\n    return 0\n"),
        sentence="net.py: Expected losses(parameters, images, labels, *, options with defaults). "
        "Received: losses(parameters, images, *, …).",
    ),
    "swapped arguments": Wrong(
        source=make_source(losses="def losses(parameters, labels, images):\n    return 0\n"),
        sentence="Received: losses(parameters, labels, images, *, …).",
    ),
    "option without asterisk": Wrong(
        source=make_source(parameters="def parameters(seed, hidden=4):\n    return {}\n"),
        sentence="net.py: Expected parameters(seed, *, options with defaults). "
        "Received: parameters(seed, hidden=4).",
    ),
    "any options": Wrong(
        source=make_source(parameters="def parameters(seed, **options):\n    return {}\n"),
        sentence="Received: parameters(seed, **options).",
    ),
    # Options
    "option without default": Wrong(
        source=make_source(parameters="def parameters(seed, *, hidden):\n    return {}\n"),
        sentence="net.py: Expected a default for the option hidden of parameters. "
        "Received: none; write hidden=… behind the asterisk.",
    ),
    "list as default": Wrong(
        source=make_source(parameters="def parameters(seed, *, sizes=[1, 2]):\n    return {}\n"),
        sentence="net.py: Expected a bool, int, float or str as the default of sizes, finite and "
        "short. Received: sizes=[1, 2] (list).",
    ),
    "other default": Wrong(
        source=make_source(losses=LOSSES.replace("hidden: int = 4", "hidden: int = 5")),
        sentence="net.py: Expected the same default of hidden in all functions. "
        "Received: hidden=4 and hidden=5.",
    ),
    "default of another type": Wrong(
        source=make_source(losses=LOSSES.replace("hidden: int = 4", "hidden: float = 4.0")),
        sentence="Received: hidden=4 and hidden=4.0.",
    ),
    "misspelt option": Wrong(
        source=make_source(),
        options={"hiden": "5"},
        sentence="net.py: There is no option named 'hiden'. Did you mean hidden?",
    ),
    "unknown option": Wrong(
        source=make_source(),
        options={"rate": "5"},
        sentence="net.py: There is no option named 'rate'. It has hidden.",
    ),
    "text for a number": Wrong(
        source=make_source(),
        options={"hidden": "many"},
        sentence="net.py: Expected a whole number as the option hidden, like its default 4. "
        "Received: hidden=many.",
    ),
    "too large a number": Wrong(
        source=make_source(),
        options={"hidden": str(2**53 + 1)},
        sentence="net.py: Expected a whole number up to 9,007,199,254,740,992 as the option "
        "hidden, like its default 4. Received: hidden=9007199254740993.",
    ),
    "fraction for a whole number": Wrong(
        source=make_source(), options={"hidden": 4.5}, sentence="Received: hidden=4.5."
    ),
    "truth value for a number": Wrong(
        source=make_source(), options={"hidden": True}, sentence="Received: hidden=True."
    ),
    "word for a truth value": Wrong(
        source=make_source(parameters=PARAMETERS.replace("hidden: int = 4", "wide=False")),
        options={"wide": "yes"},
        sentence="net.py: Expected true or false as the option wide, like its default False. "
        "Received: wide=yes.",
    ),
    "number for text": Wrong(
        source=make_source(losses=LOSSES.replace("hidden: int = 4", "kind='relu'")),
        options={"kind": 3},
        sentence="net.py: Expected text of at most 4,000 characters as the option kind, like its "
        "default 'relu'. Received: kind=3.",
    ),
    # Parameters
    "name of other arrays": wrong_parameters(
        "return {'losses': np.zeros(3, np.float32)}",
        "net.py: Expected another name of an array than losses, which results have.",
    ),
    "list of arrays": wrong_parameters(
        "return [np.zeros(3, np.float32)]",
        "net.py: Expected a dict of NumPy arrays by name from parameters. "
        "Received: an object of type list.",
    ),
    "no arrays": wrong_parameters(
        "return {}", "net.py: Expected 1 to 1024 arrays from parameters. Received: 0."
    ),
    "number as name": wrong_parameters(
        "return {1: np.zeros(3, np.float32)}",
        "net.py: Expected the name of each array to be text of 1 to 100 characters. Received: 1.",
    ),
    "float64": wrong_parameters(
        "return {'a': np.zeros(3)}",
        "net.py: Expected a to be float32, as .astype(np.float32) makes it. Received: float64.",
    ),
    "whole numbers": wrong_parameters(
        "return {'a': np.arange(3)}",
        "net.py: Expected a to be float32, as .astype(np.float32) makes it. Received: int64.",
    ),
    "tensor": wrong_parameters(
        "return {'a': tf.zeros(3)}",
        "net.py: Expected a to be a NumPy array. Received: an object of type EagerTensor.",
    ),
    "empty array": wrong_parameters(
        "return {'a': np.zeros((3, 0), np.float32)}",
        "net.py: Expected a to have at most 8 dimensions, none of them 0. Received: shape (3, 0).",
    ),
    "NaN parameter": wrong_parameters(
        "return {'a': np.full(3, np.nan, np.float32)}",
        "net.py: Expected finite parameters. Received: a NaN or an infinity in a.",
    ),
    "huge array": wrong_parameters(
        "return {'a': np.zeros((5000, 2000), np.float32), 'b': np.zeros(7, np.float32)}",
        "net.py: Expected at most 8,388,608 parameters, whose gradient's sum makes 67.1 MB of an "
        "answer. Received: a 5,000 × 2,000 = 10,000,000 + b 7 = 10,000,007, which would make "
        "80.0 MB.",
    ),
    "array larger than memory": wrong_parameters(
        "return {'a': np.zeros((10**6, 10**9), np.float32)}",
        "net.py line 6: MemoryError: ",
    ),
    "parameters without seed": wrong_parameters(
        "return {'a': np.random.normal(size=3).astype(np.float32)}",
        "net.py: Expected the same parameters from the same seed. Received: others in a second "
        "call; draw with np.random.default_rng(seed) and nothing else.",
    ),
    "parameters of the process": Wrong(
        source=make_source(
            imports="import os\n",
            parameters=PARAMETERS.replace("rng(seed)", "rng(os.getpid())"),
        ),
        sentence="net.py: Expected the same parameters from the same seed in a second process. "
        "Received: others;",
    ),
    "order of a set": Wrong(
        source=make_source(
            parameters=PARAMETERS.replace(
                "rng(seed)", "rng([ord(sign) for sign in {chr(65 + n) for n in range(20)}])"
            )
        ),
        sentence="Expected the same parameters from the same seed in a second process.",
    ),
}


NETWORKS |= CHANGES  # last, for they last


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
