"""Lines of runs that are coloured, averaged and smoothed, against values computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from tapeworks.cli.outputs.picture_files import find_place, read_runs
from tapeworks.errors import UsageError
from tapeworks.plotting.arranging import Arrangement, smooth
from tapeworks.plotting.curves import Curves, Measure, curves
from tapeworks.plotting.drawing.pictures import draw
from tapeworks.plotting.kinds import list_runs, picture
from tapeworks.plotting.style import COLOURS
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tests.support.stories import evaluated, tell


def grid(history: History) -> list[RunRecord]:
    """Two learning rates by two seeds; the last run has ended early."""
    losses = [
        [[1.0], [2.0], [3.0]],
        [[3.0], [4.0], [5.0]],
        [[10.0], [20.0], [30.0]],
        [[20.0], [40.0]],
    ]
    settings = [(0.1, 1), (0.1, 2), (0.02, 1), (0.02, 2)]
    return [
        tell(
            history,
            one,
            name=f"grid-{number}",
            settings={"learning_rate": rate, "seed": seed, "iterations": 3},
            evaluations=[evaluated(2, 4.0 * number, 0.1 * number, images=4)],
        )
        for number, (one, (rate, seed)) in enumerate(zip(losses, settings, strict=True), start=1)
    ]


def lines_of(figure: Figure) -> list[Any]:
    return list(figure.axes[0].lines)


def arranged(history: History, runs: list[RunRecord], **wanted: object) -> Curves:
    arrangement = Arrangement(**wanted)  # type: ignore[arg-type]
    return curves(history, runs, Measure.LOSS, arrangement)


class TestMeans:
    def test_are_of_the_runs_that_differ_in_nothing_else(self, history: History) -> None:
        runs = grid(history)
        first, second = arranged(history, runs, mean_over="seed").lines
        assert first.label == "learning_rate=0.1 (2 runs)"
        assert first.runs == (runs[0].id, runs[1].id)
        assert (first.values, first.low, first.high) == (
            (2.0, 3.0, 4.0),
            (1.0, 2.0, 3.0),
            (3.0, 4.0, 5.0),
        )
        assert (first.evaluated, first.evaluated_low, first.evaluated_high) == (
            (1.5,),
            (1.0,),
            (2.0,),
        )
        assert (second.label, second.iterations) == ("learning_rate=0.02 (2 runs)", (0, 1))
        assert second.values == (15.0, 30.0)

    def test_name_what_they_are_over_where_nothing_else_differs(self, history: History) -> None:
        [line] = arranged(history, grid(history)[:2], mean_over="seed").lines
        assert line.label == "mean over seed (2 runs)"

    def test_are_of_smoothed_values_and_so_is_the_band(self, history: History) -> None:
        runs = [
            tell(history, [[1.0], [4.0], [1.0]], settings={"seed": 1}),
            tell(history, [[3.0], [0.0], [3.0]], settings={"seed": 2}),
        ]
        [line] = arranged(history, runs, mean_over="seed", smooth=1).lines
        assert (line.values, line.smoothed) == ((2.0, 2.0, 2.0), (2.0, 2.0, 2.0))
        assert (line.low, line.high) == ((1.0, 2.0, 1.0), (3.0, 2.0, 3.0))


class TestColours:
    def test_follow_the_setting_in_the_order_of_its_numbers(self, history: History) -> None:
        shown = arranged(history, grid(history), color_by="learning-rate")
        assert shown.colours == ("learning_rate=0.02", "learning_rate=0.1")
        assert [line.colour for line in shown.lines] == [
            *["learning_rate=0.1"] * 2,
            *["learning_rate=0.02"] * 2,
        ]
        figure = draw(shown)
        [legend] = figure.legends
        texts = [text.get_text() for text in legend.get_texts()]
        assert texts == list(shown.colours)
        assert figure.get_supxlabel() == "with markers: held-out images"
        drawn = [line.get_color() for line in lines_of(figure) if line.get_marker() == "None"]
        assert drawn == [*[COLOURS[1]] * 4, *[COLOURS[0]] * 4]

    def test_of_many_values_are_those_of_a_scale(self, history: History) -> None:
        runs = [tell(history, [[1.0], [2.0]], settings={"seed": seed}) for seed in range(9)]
        lines = lines_of(draw(arranged(history, runs, color_by="seed")))
        assert len({line.get_color() for line in lines}) == 9


class TestSmoothing:
    def test_reaches_as_far_on_both_sides(self) -> None:
        assert smooth([0.0, 3.0, 6.0, 0.0, 9.0], 1) == (0.0, 3.0, 3.0, 5.0, 9.0)
        assert smooth([0.0, 3.0, 6.0], 100) == (0.0, 3.0, 6.0)
        assert smooth([], 2) == ()

    def test_stands_before_what_was_measured(self, history: History) -> None:
        run = tell(history, [[2.0], [4.0], [9.0]])
        raw, shown = lines_of(draw(arranged(history, [run], smooth=1)))
        assert list(raw.get_ydata()) == [2.0, 4.0, 9.0]
        assert list(shown.get_ydata()) == [2.0, 5.0, 9.0]
        assert raw.get_alpha() < (shown.get_alpha() or 1)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"color_by": "lr"}, "differ in learning_rate, seed. .*lr. Did you mean learning_rate"),
        ({"mean_over": "momentum"}, "these runs differ, .*: learning_rate, seed. .*momentum"),
        ({"mean_over": "seed", "color_by": "seed"}, "one line, which has one colour"),
        ({"color_by": "sum_order"}, "Expected a setting"),
    ],
)
def test_settings_that_cannot_serve_are_told(
    wanted: dict[str, str], sentence: str, history: History
) -> None:
    with pytest.raises(UsageError, match=sentence):
        arranged(history, grid(history), **wanted)


def test_held_out_images_are_connected_in_front_of_a_paler_line(history: History) -> None:
    evaluations = [evaluated(1, 2.0, 0.5), evaluated(3, 1.0, 0.75)]
    run = tell(history, [[1.0], [2.0], [3.0]], evaluations=evaluations)
    training, held_out, circles = lines_of(draw(curves(history, [run], Measure.ACCURACY)))
    assert (training.get_alpha() or 1) < 1
    assert list(held_out.get_xdata()) == list(circles.get_xdata()) == [1, 3]
    assert (held_out.get_linestyle(), circles.get_marker()) == ("-", "o")
    assert training.get_zorder() < held_out.get_zorder() < circles.get_zorder()


def test_a_title_stands_in_place_of_the_pictures_own(history: History) -> None:
    run = tell(history, [[1.0], [2.0]], name="mine")
    figure = draw(curves(history, [run], Measure.LOSS), "A $title$ of " + "many words " * 20)
    title = figure.get_suptitle()
    assert title.startswith("A $title$ of many words")
    assert max(map(len, title.splitlines())) <= 80
    assert figure.axes[0].get_title(loc="left") == ""


def test_a_picture_of_other_runs_and_a_file_of_others_are_kept(
    history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, other = (curves(history, [tell(history, [[1.0]])], Measure.LOSS) for _ in range(2))
    path = tmp_path / "loss_curve.png"
    assert find_place(path, list_runs(mine)) == path
    path.write_bytes(picture(mine, "png"))
    assert read_runs(path) == list_runs(mine)
    assert find_place(path, list_runs(mine)) == path
    assert capsys.readouterr().err == ""
    second = tmp_path / "loss_curve-2.png"
    assert find_place(path, list_runs(other)) == second
    assert "is kept: it is no picture of this run" in capsys.readouterr().err
    second.write_text("notes of somebody")
    assert find_place(path, list_runs(other)) == tmp_path / "loss_curve-3.png"


@pytest.mark.parametrize("side", [12_000, 20_000])  # of which Pillow warns, and which it refuses
def test_a_picture_of_any_size_is_kept(tmp_path: Path, side: int) -> None:
    path = tmp_path / "loss_curve.png"
    Image.new("1", (side, side)).save(path)
    assert find_place(path, ["mine"]) == tmp_path / "loss_curve-2.png"
