"""Networks of one's own on the real command line: checked, refused, varied and retried."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapeworks
from tapeworks.model.parameters import from_bytes
from tapeworks.storage.history import History
from tests.support.calls import Call
from tests.support.processes import Start
from tests.support.waiting import until

SOURCE = """
import numpy as np
import tensorflow as tf

print("the file speaks")


def parameters(seed, *, hidden: int = 4):
    draw = np.random.default_rng(seed)
    first, second = draw.normal(0, 0.1, (64, hidden)), draw.normal(0, 0.1, (hidden, 10))
    return {"first": first.astype(np.float32), "second": second.astype(np.float32)}


def logits(parameters, images):
    return tf.nn.relu(tf.reshape(images, (-1, 64)) @ parameters["first"]) @ parameters["second"]


def losses(parameters, images, labels, *, smooth: bool = False):
    found = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(parameters, images))
    return found / 2 if smooth else found
"""


@pytest.fixture
def file(places: Path) -> Path:
    path = Path("net.py")
    path.write_text(SOURCE)
    return path


@pytest.fixture
def history(file: Path) -> Iterator[History]:
    history = History.open(os.environ["TAPEWORKS_DATABASE_URL"])
    yield history
    history.database.close()


def test_check_network_shows_what_it_found_and_stores_nothing(
    call: Call, file: Path, history: History
) -> None:
    called = call(f"check-network {file} --option hidden=6 --images 40 --json")

    assert called.code == 0
    assert set(called.err.splitlines()) == {"the file speaks"}  # whenever it is run
    values = called.values
    assert values["options"] == {"hidden": 6, "smooth": False}
    assert [(one["name"], one["shape"], one["bytes"]) for one in values["parameters"]] == [
        ("first", [64, 6], 1536),
        ("second", [6, 10], 240),
    ]
    assert values["classes"] == list(range(10))
    assert [one["backward"] for one in values["speeds"]] == ["microbatch", "vectorized"]
    assert all(one["seconds_per_image"] > 0 for one in values["speeds"])
    assert values["answer_bytes"] == {"summed": 8 * 444 + 128, "per_image": 4 * 16 * 444 + 128}

    lines = call(f"check-network {file} --images 40").out.splitlines()
    assert {"network      net.py", "options      hidden=4 smooth=false"} <= set(lines)
    assert history.runs() == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--option hiden=3", "net.py: There is no option named 'hiden'. Did you mean hidden?"),
        (
            "--option smooth=yes",
            "Expected true or false as the option smooth, like its default False. Received: ",
        ),
        (
            "--option hidden",
            "Expected --option NAME=VALUE, each name once. Received: --option hidden",
        ),
        (
            "--option hidden=1 --option hidden=2",
            "Expected --option NAME=VALUE, each name once. Received: --option hidden=2",
        ),
        ("--filters 3", "Only the built-in network reads filters;"),
        ("--network none.py", "The network none.py cannot be read: No such file or directory."),
        ("--network net.txt", "Expected built-in or a Python file, which ends in .py."),
        (
            "--network built-in --option hidden=3",
            "The built-in network has no options; name a network of yours with network,",
        ),
        ("--vary option.hidden=2,many", "Received: hidden=many."),
    ],
)
def test_an_option_that_cannot_work_is_one_sentence_and_nothing_is_stored(
    call: Call, file: Path, history: History, given: str, sentence: str
) -> None:
    called = call(f"submit --network {file} --images 40 {given}")

    assert called.code == 2
    assert called.out == ""
    [line] = called.err.splitlines()
    assert line.startswith("tapeworks: ")
    assert sentence in line
    assert history.runs() == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"# " + b"x" * 300_000, "is too long. Expected at most 262,144 characters."),
        (b"# \xff", "is not UTF-8 text."),
        (
            b"",
            "net.py: Expected a function parameters in the file. Received: nothing of that name.",
        ),
    ],
)
def test_a_file_that_is_no_network_is_refused(
    call: Call, file: Path, content: bytes, sentence: str
) -> None:
    file.write_bytes(content)

    called = call(f"check-network {file} --images 40")

    assert (called.code, called.out) == (2, "")
    assert sentence in called.last_words


def test_a_grid_varies_options_and_seeds_and_a_retry_needs_no_file(
    call: Call, file: Path, history: History
) -> None:
    Path("run.yaml").write_text("network: net.py\nimages: 40\noptions: {smooth: true}\n")
    Path("run.toml").write_text("network = 'net.py'\nimages = 40\noption.hidden = 3\n")

    queued = call("submit --config run.yaml --vary option.hidden=2,3 --vary seed=1,2 --json").values
    [other] = [call("submit --config run.toml --json").values]

    found = [(one["configuration"]["options"], one["configuration"]["seed"]) for one in queued]
    assert found == [
        ({"hidden": hidden, "smooth": True}, seed) for hidden in (2, 3) for seed in (1, 2)
    ]
    assert other["configuration"]["options"] == {"hidden": 3, "smooth": False}
    digests = [one["parameters_digest"] for one in queued]
    assert len(set(digests)) == 4

    file.unlink()
    first = queued[0]["id"]
    again = call(f"retry {first} --set learning_rate=0.5 --json").values
    assert (again["parameters_digest"], again["network_digest"]) == (
        digests[0],
        queued[0]["network_digest"],
    )
    reseeded = call(f"retry {first} --set seed=2 --json").values
    assert reseeded["parameters_digest"] == digests[1]
    wider = call(f"retry {first} --set option.hidden=3 --json").values
    assert wider["parameters_digest"] == digests[2]
    assert wider["configuration"]["options"] == {"hidden": 3, "smooth": True}

    Path("other.py").write_text(SOURCE.replace("smooth", "half"))
    renamed = call(f"retry {first} --set network=other.py --json").values
    assert renamed["network_digest"] != first
    assert renamed["configuration"]["options"] == {"hidden": 4, "half": False}
    assert call(f"retry {first} --set option.half=true").last_words == (
        "tapeworks: net.py: There is no option named 'half'. It has hidden, smooth."
    )


def test_python_gives_options_and_varies_them(file: Path, history: History) -> None:
    client = tapeworks.connect()
    options: dict[str, Any] = {"hidden": np.int64(2)}
    config = tapeworks.RunConfig(network=str(file), images=40, options=options)

    runs = client.submit_grid(config, {"option.hidden": [2, 3], "seed": range(2)})

    assert [run.config.options["hidden"] for run in runs] == [2, 2, 3, 3]
    assert [run.parameters()["first"].shape for run in runs] == [(64, 2)] * 2 + [(64, 3)] * 2
    stored = from_bytes(history.checkpoint(runs[1].id, 0).parameters)
    drawn = np.random.default_rng(1).normal(0, 0.1, (64, 2)).astype(np.float32)
    np.testing.assert_array_equal(stored["first"], drawn)
    client.close()


def test_ctrl_c_ends_the_check_and_its_processes(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        "import os\nwith open(os.environ['PIDS'], 'a') as f: f.write(f'{os.getpid()}\\n')\n"
        "while True: pass\n"
    )
    pids = Path("pids").absolute()
    monkeypatch.setenv("PIDS", str(pids))
    checking = start("check-network", str(file))
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "both processes run")

    checking.interrupt()

    assert checking.ended() == 130
    assert checking.err.splitlines()[-1] == "tapeworks: interrupted"
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
