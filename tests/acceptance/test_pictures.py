"""`tapeworks plot` in all its kinds, called by a user whose runs have chosen numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tapeworks.model import datasets
from tapeworks.model.config import RunConfig
from tapeworks.plotting.kinds import Kind
from tapeworks.storage.history import History
from tapeworks.wire.chunks import make_chunks
from tests.support.calls import Call
from tests.support.desk import files, nothing_changes, told_in_one_sentence
from tests.support.stories import evaluated, tell

LOSSES = [[3.0, 1.0], [2.0, 0.5], [0.25, 1.0]]


@pytest.fixture
def history(places: Path) -> Iterator[History]:
    history = History.open(places / "runs.db")
    data = datasets.load(RunConfig(images=2)).training
    digest = make_chunks(data.images, data.labels).digest
    tell(history, LOSSES, name="one", images_digest=digest, evaluations=[evaluated(3, 2.0, 0.75)])
    tell(history, LOSSES[:2], name="other")
    tell(history, [], name="waiting")
    yield history
    history.database.close()


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_drawn_into_a_file_of_its_name(
    kind: Kind, history: History, places: Path, call: Call
) -> None:
    called = call(f"plot one --kind {kind}")
    [path] = places.glob("*.png")
    assert (called.code, called.out, called.err) == (0, f"{path}\n", "")
    assert path.name == ("loss_curve.png" if kind is Kind.LOSS else f"{kind}.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", [Kind.LOSS, Kind.ACCURACY, Kind.GRADIENT_NORM])
def test_several_runs_are_drawn_in_one_picture_each_once(
    kind: Kind, history: History, call: Call
) -> None:
    one = history.find_run("one")
    called = call(f"plot one other {one.id} --kind {kind} --output both.svg")
    assert called.code == 0
    picture = Path("both.svg").read_text()
    assert [picture.count(f"<!-- {name} -->") for name in ("one", "other")] == [1, 1]


def test_a_grid_is_drawn_by_its_name_without_runs_that_have_not_begun(
    history: History, call: Call
) -> None:
    for number in (1, 2, 3):
        losses, run_id = LOSSES[: 3 - number], f"20261130-000000000-{number}"
        tell(
            history,
            losses,
            name=f"grid-{number}",
            run_id=run_id,
            settings={"seed": number, "iterations": 3},
        )
    called = call("plot grid --json")
    assert [line["label"] for line in called.values["lines"]] == ["seed=1", "seed=2"]
    assert called.err == "2 of 3 runs of grid have an iteration to draw.\n"
    assert [run["name"] for run in call("compare grid --json").values["runs"]] == [
        f"grid-{number}" for number in (1, 2, 3)
    ]


def test_a_picture_may_be_a_pdf(history: History, call: Call) -> None:
    assert call("plot one --output curve.pdf").code == 0
    assert Path("curve.pdf").read_bytes().startswith(b"%PDF")


def test_programs_read_what_would_be_drawn_and_nothing_is(
    history: History, places: Path, call: Call
) -> None:
    with nothing_changes(places):
        loss = call("plot one other --json").values
        images = call("plot one --kind images --json").values
        timeline = call("plot one --kind timeline --iteration 1 --json").values
        hardest = call("plot one --kind hardest --json").values
        mean = call("plot one --kind hardest --by mean --limit 1 --json").values
        listed = [call(f"images one {order} --json").values for order in ("--limit 2", "1 0")]
    assert [line["values"] for line in loss["lines"]] == [[4.0, 2.5, 1.25], [4.0, 2.5]]
    assert (loss["lines"][0]["evaluated_after"], loss["lines"][0]["evaluated"]) == ([3], [1.0])
    assert images["images"] == [1, 0]
    assert images["losses"] == [[1.0, 0.5, 1.0], [3.0, 2.0, 0.25]]
    assert [bar["attempt"] for bar in timeline["bars"]] == [1, 2]
    assert [one["loss"] for one in hardest["images"]] == [1.0, 0.25]
    assert [(one["image"], one["mean_loss"]) for one in mean["images"]] == [(0, 1.75)]
    for images in listed:
        assert [one | {"label": None} for one in images] == [
            one | {"label": None} for one in hardest["images"]
        ]


def test_images_are_listed_and_drawn(history: History, call: Call) -> None:
    called = call("images one --by mean --output sheet.png")
    assert (called.code, called.err) == (0, "Drawn into sheet.png\n")
    assert called.out.splitlines()[:2] == [
        "image  row  label  predicted  loss  iteration  mean_loss  iterations",
        "    0    0      3          3  0.25          2       1.75           3",
    ]
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_losses_of_an_image_over_the_iterations_are_listed_and_drawn(
    history: History, call: Call
) -> None:
    listed = call("images one 1 --history --json").values
    recorded = history.list_recorded_iterations(history.find_run("one").id)
    assert [(row["image"], row["iteration"]) for row in listed] == [(1, at) for at in recorded]
    newest = call("images one 1 --json").values[0]
    assert (listed[-1]["loss"], listed[-1]["predicted"]) == (newest["loss"], newest["predicted"])
    drawn = call("plot one --kind images --image 1 --image 0 --json").values["lines"]
    assert drawn[0]["values"] == [row["loss"] for row in listed]
    assert [line["label"].rpartition(" ")[2] for line in drawn] == ["1", "0"]
    assert call("plot one --kind images --image 1 --output image.png").code == 0


def test_a_picture_replaces_an_old_one_as_a_whole(
    history: History, places: Path, call: Call
) -> None:
    Path("curve.png").write_text("old")
    before = files(places)
    assert call("plot one --output curve.png").code == 0
    assert Path("curve.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert files(places) == before


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("plot one --kind accurracy", 2, "Did you mean accuracy?"),
        ("plot one --kind pie", 2, "'pie' is not one of"),
        ("plot one other --kind images", 2, "images shows one run"),
        ("plot one other --kind timeline", 2, "timeline shows one run"),
        ("plot one other --kind hardest", 2, "hardest shows one run"),
        ("plot waiting --kind images", 2, "no iteration yet"),
        ("plot one waiting --kind accuracy", 2, "no iteration yet"),
        ("plot one --iteration 0", 2, "for the kinds timeline and hardest"),
        ("plot one --kind hardest --iteration 3", 3, "no iteration 3"),
        ("plot one --kind hardest --iteration -1", 2, "--iteration"),
        ("plot other --kind hardest", 1, "other images"),
        ("plot one --json --output curve.png", 2, "leave out --output"),
        ("plot one --kind images --output images.jpg", 2, "ending in .png, .svg or .pdf"),
        ("plot one --kind images --output nowhere/images.png", 2, "nowhere"),
        ("plot nothing --kind timeline", 3, "no run 'nothing'"),
        ("plot one --smooth 0", 2, "smooth"),
        ("plot one --kind timeline --color-by seed", 2, "--color-by is for the kinds loss, "),
        ("plot one other --color-by sede", 2, "Did you mean seed"),
        ("plot one other --mean-over seed", 2, "in which these runs differ"),
        ("plot one --by mean", 2, "for the kinds images and hardest"),
        ("plot one --kind images --limit 3", 2, "--limit is for the kind hardest"),
        ("plot one --kind hardest --limit 0", 2, "limit"),
        ("plot one --kind hardest --by mean --iteration 1", 2, "leave out one of them"),
        ("plot one --image 1", 2, "--image is for the kind images"),
        ("plot one --kind images --image 1 --by mean", 2, "leave out --by"),
        ("plot one --kind images --image 2", 3, "has images 0 to 1; none is 2"),
        ("images one --history", 2, "that NUMBER names"),
        ("images one 2 --history", 3, "has images 0 to 1; none is 2"),
        ("images one 2", 3, "has images 0 to 1; none is 2"),
        ("images one 0 --limit 2", 2, "leave out --by and --limit"),
        ("images one --iteration 1 --by mean", 2, "leave out one of them"),
        ("images one --iteration 7", 3, "no iteration 7"),
        ("images one --limit 601 --output sheet.png", 2, "at most 600 images"),
        ("images waiting", 2, "no iteration yet"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence_and_leaves_nothing(
    line: str, code: int, words: str, history: History, places: Path, call: Call
) -> None:
    with nothing_changes(places):
        called = call(line)
    told_in_one_sentence(called, code, words)
