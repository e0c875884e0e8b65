"""The lines, words and scales of drawings; their looks are for people to judge."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure

from tapeworks.plotting.curves import Curves, Line, Measure
from tapeworks.plotting.drawing.pictures import draw, render
from tapeworks.plotting.hardest import ContactSheet, RunImage
from tapeworks.plotting.heat_map import HeatMap
from tapeworks.plotting.image_losses import By
from tapeworks.plotting.kinds import picture
from tapeworks.plotting.style import COLOURS
from tapeworks.plotting.timeline import Bar, Cut, Timeline


def line(label: str = "mine", values: tuple[float, ...] = (3.0, 2.0, 1.0), **changed: Any) -> Line:
    usual: dict[str, Any] = {"evaluated_after": (), "evaluated": ()}
    places = tuple(range(len(values)))
    return Line(run_id=label, label=label, iterations=places, values=values, **usual | changed)


def curves(
    *lines: Line, measure: Measure = Measure.LOSS, images: int = 50, **changed: Any
) -> Curves:
    usual: dict[str, Any] = {"measure": measure, "images": images, "is_logarithmic": False}
    return Curves(lines=lines, **usual | changed)


def axes_of(figure: Figure) -> Any:
    """The only axes, or those beside which a colour bar stands."""
    return figure.axes[0]


def legend_texts(figure: Figure) -> list[str]:
    legends: list[Any] = [*figure.legends, axes_of(figure).get_legend()]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


def drawn_lines(figure: Figure) -> list[Any]:
    return [one for one in axes_of(figure).lines if one.get_linestyle() != "None"]


class TestCurves:
    def test_one_run_is_named_in_the_title(self) -> None:
        figure = draw(curves(line()))
        assert axes_of(figure).get_title(loc="left") == "mine"
        assert axes_of(figure).get_xlabel() == "Iteration"
        assert legend_texts(figure) == []
        [drawn] = drawn_lines(figure)
        assert (list(drawn.get_xdata()), list(drawn.get_ydata())) == ([0, 1, 2], [3, 2, 1])
        assert axes_of(figure).get_ylim()[0] == 0

    @pytest.mark.parametrize(
        ("measure", "images", "words"),
        [
            (Measure.LOSS, 50, "Loss, sum over 50 images"),
            (Measure.LOSS, 60000, "Loss, sum over 60,000 images"),
            (Measure.LOSS, 1, "Loss per image"),
            (Measure.ACCURACY, None, "Training accuracy"),
            (Measure.GRADIENT_NORM, None, "Norm of the mean gradient"),
        ],
    )
    def test_the_axis_says_what_is_measured(
        self, measure: Measure, images: int, words: str
    ) -> None:
        figure = draw(curves(line(), measure=measure, images=images))
        assert axes_of(figure).get_ylabel() == words

    def test_several_runs_are_named_beside_the_axes_each_in_a_style_of_its_own(self) -> None:
        runs = [line(f"run {place}", (1.0, float(place))) for place in range(24)]
        figure = draw(curves(*runs))
        assert legend_texts(figure) == [run.label for run in runs]
        styles = {(one.get_color(), str(one._dash_pattern)) for one in drawn_lines(figure)}
        assert len(styles) == 24

    def test_a_run_over_an_equal_one_lets_it_be_seen(self) -> None:
        drawn = drawn_lines(draw(curves(line("one"), line("other"))))
        assert [one.is_dashed() for one in drawn] == [False, True]

    def test_a_style_that_was_taken_so_is_not_taken_again(self) -> None:
        runs = [line(str(place), (1.0, float(max(place, 1)))) for place in range(len(COLOURS) + 2)]
        drawn = drawn_lines(draw(curves(line("0", (1.0, 1.0)), *runs[1:])))
        styles = {(one.get_color(), str(one._dash_pattern)) for one in drawn}
        assert len(styles) == len(runs)

    def test_held_out_images_are_circles_at_the_iterations_behind_them(self) -> None:
        one = line("one", evaluated_after=(1, 3), evaluated=(0.5, 0.25))
        for figure in (draw(curves(one)), draw(curves(one, line("other", (1.0,))))):
            told = f"{legend_texts(figure)[0]} {figure.get_supxlabel()}"
            assert "held-out images, scaled to " in told
            circles = [one for one in axes_of(figure).lines if one.get_marker() == "o"]
            assert [list(circles[0].get_xdata()), list(circles[0].get_ydata())] == [
                [1, 3],
                [0.5, 0.25],
            ]

    def test_points_of_several_runs_have_shapes_of_their_own_which_the_legend_shows(self) -> None:
        lines = [line(name, evaluated_after=(1, 3), evaluated=(0.5, 0.25)) for name in "abc"]
        figure = draw(curves(*lines))
        [legend] = figure.legends
        shown = [(one.get_marker(), one.get_color()) for one in legend.get_lines()]
        drawn = [one for one in axes_of(figure).lines if one.get_marker() != "None"]
        assert shown == [(one.get_marker(), one.get_markeredgecolor()) for one in drawn]
        assert len(set(shown)) == 3

    def test_few_points_that_do_not_follow_each_other_are_marked(self) -> None:
        sparse = replace(line(), iterations=(0, 10, 20))
        assert [one.get_marker() for one in drawn_lines(draw(curves(sparse)))] == ["."]
        assert [one.get_marker() for one in drawn_lines(draw(curves(line())))] == ["None"]

    def test_values_far_apart_stand_on_a_logarithmic_axis_with_plain_numbers(self) -> None:
        figure = draw(curves(line(values=(100.0, 0.5)), is_logarithmic=True))
        assert axes_of(figure).get_yscale() == "log"
        figure.canvas.draw()
        ticks = {text.get_text() for text in axes_of(figure).get_yticklabels()}
        assert {"1", "2", "5", "10", "50", "100"} <= ticks

    def test_a_single_iteration_is_a_point_at_a_whole_number(self) -> None:
        figure = draw(curves(line(values=(3.0,))))
        [drawn] = drawn_lines(figure)
        assert drawn.get_marker() == "."
        figure.canvas.draw()
        first, last = axes_of(figure).get_xlim()
        assert [tick for tick in axes_of(figure).get_xticks() if first <= tick <= last] == [0]


class TestTheHeatMap:
    def shown(self, losses: Any, **changed: Any) -> HeatMap:
        table = np.array(losses, np.float32)
        usual: dict[str, Any] = {
            "iterations": range(table.shape[1]),
            "images": np.arange(len(table))[::-1],
            "row_images": (1,) * len(table),
            "is_last_known": False,
        }
        return HeatMap(run_id="1", label="mine", losses=table, **usual | changed)

    def test_colours_are_logarithmic_and_explained(self) -> None:
        figure = draw(self.shown([[8.0, 4.0], [2.0, 0.5]]))
        axes, bar = axes_of(figure), figure.axes[1]
        [image] = axes.images
        assert isinstance(image.norm, LogNorm)
        assert image.get_clim() == (0.5, 8.0)
        assert bar.get_ylabel() == "Loss of the image"
        assert [text.get_text() for text in axes.get_yticklabels()] == ["1", "0"]
        assert axes.get_ylabel() == "Image, the highest loss in iteration 1 on top"
        assert image.get_extent() == [-0.5, 1.5, 2.5, 0.5]

    def test_what_was_not_computed_yet_is_left_out_and_named(self) -> None:
        figure = draw(self.shown([[np.nan, 4.0], [2.0, 0.5]], is_last_known=True))
        axes, bar = axes_of(figure), figure.axes[1]
        array = axes.images[0].get_array()
        assert np.ma.getmaskarray(array).tolist() == [[True, False], [False, False]]
        assert bar.get_ylabel() == "Last known loss of the image"

    def test_many_images_are_counted_rather_than_named(self) -> None:
        figure = draw(self.shown(np.ones((100, 2))))
        assert axes_of(figure).get_ylabel() == "Images in the order of their loss in iteration 1"
        assert len(axes_of(figure).get_yticks()) < 15

    def test_columns_that_stand_for_several_iterations_keep_their_places(self) -> None:
        figure = draw(self.shown([[8.0, 4.0, 2.0]], iterations=range(3, 12, 4)))
        assert axes_of(figure).get_xlabel() == "Iteration (one of 4 is drawn)"
        assert axes_of(figure).images[0].get_extent()[:2] == [1.0, 13.0]

    @pytest.mark.parametrize("losses", [[[0.0]], [[3.0]], [[0.0, 1.0]]])
    def test_equal_losses_and_zeros_are_drawn_too(self, losses: list[list[float]]) -> None:
        lowest, highest = axes_of(draw(self.shown(losses))).images[0].get_clim()
        assert 0 < lowest < highest


class TestTheTimeline:
    def shown(self, **changed: Any) -> Timeline:
        bars = (
            Bar(worker=0, begin=0.1, seconds=0.5, iteration=4, shard=0, attempt=1),
            Bar(worker=1, begin=0.2, seconds=0.25, iteration=5, shard=0, attempt=3),
        )
        usual: dict[str, Any] = {
            "workers": ("desk-1", "desk-2"),
            "bars": bars,
            "iterations": (4, 5),
            "begins": (0.0, 1.0),
            "cuts": (),
            "left_out": 0,
        }
        return Timeline(run_id="1", label="mine", **usual | changed)

    def test_a_bar_is_in_its_workers_row_and_coloured_by_its_attempt(self) -> None:
        figure = draw(self.shown())
        axes = axes_of(figure)
        drawn = [
            (bar.get_x(), round(bar.get_y() + bar.get_height() / 2, 9), bar.get_width())
            for bar in axes.patches
        ]
        assert drawn == [(0.1, 0.0, 0.5), (0.2, 1.0, 0.25)]
        assert [to_hex(bar.get_facecolor()).upper() for bar in axes.patches] == list(COLOURS[:2])
        assert legend_texts(figure) == ["first attempt", "later attempt"]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["desk-1", "desk-2"]
        assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one above

    def test_its_title_and_axis_say_what_is_shown(self) -> None:
        axes = axes_of(draw(self.shown()))
        assert axes.get_title(loc="left") == "mine, iterations 4 to 5"
        assert axes.get_xlabel() == "Seconds since iteration 4 began"
        only = self.shown(iterations=(4,), begins=(0.0,), bars=self.shown().bars[:1])
        figure = draw(only)
        assert axes_of(figure).get_title(loc="left") == "mine, iteration 4"
        assert legend_texts(figure) == ["first attempt"]

    def test_a_few_iterations_are_parted_by_lines(self) -> None:
        assert len(axes_of(draw(self.shown())).lines) == 2
        many = self.shown(iterations=tuple(range(500)), begins=tuple(map(float, range(500))))
        assert len(axes_of(draw(many)).lines) == 0

    def test_a_cut_tells_how_long_the_pause_was(self) -> None:
        axes = axes_of(draw(self.shown(cuts=(Cut(at=0.9, seconds=11_520.0),))))
        assert "3 h 12 min later" in [text.get_text() for text in axes.texts]
        assert axes.get_xlabel().endswith(", without long pauses")

    def test_it_is_told_how_many_iterations_have_no_times(self) -> None:
        axes = axes_of(draw(self.shown(left_out=98)))
        assert axes.get_xlabel().endswith("; the times of 98 iterations were not stored")

    def test_of_very_many_workers_some_are_named(self) -> None:
        workers = tuple(f"desk-{number}" for number in range(200))
        axes = axes_of(draw(self.shown(workers=workers)))
        assert [text.get_text() for text in axes.get_yticklabels()] == list(workers[::3])


class TestTheContactSheet:
    def sheet(self, *images: RunImage, by: By | None = By.LAST) -> ContactSheet:
        pixels = (np.zeros((5, 4, 3), np.uint8),) * len(images)
        return ContactSheet(
            run_id="1", label="mine", by=by, iteration=None, images=images, pixels=pixels
        )

    def images(self, count: int) -> list[RunImage]:
        return [
            RunImage(
                image=place,
                row=place,
                label=3,
                predicted=(3, 6)[place % 2],
                loss=2.0,
                iteration=4,
                mean_loss=1.0,
                iterations=2,
            )
            for place in range(count)
        ]

    def test_each_image_has_its_words_and_a_wrong_one_its_colour(self) -> None:
        figure = draw(self.sheet(*self.images(8)))
        drawn = [axes for axes in figure.axes if axes.images]
        assert len(drawn) == 8
        assert [axes.get_xlabel() for axes in drawn[:2]] == [
            "3, predicted 3\nloss 2.00\nimage 0",
            "3, predicted 6\nloss 2.00\nimage 1",
        ]
        assert [axes.xaxis.label.get_color() for axes in drawn[:2]] == ["black", COLOURS[1]]
        assert [axes.axison for axes in figure.axes] == [True] * 8 + [False] * 4
        assert figure.get_suptitle() == "mine: highest losses"

    def test_the_loss_is_the_one_that_orders_and_a_row_of_its_own_is_told(self) -> None:
        [image] = self.images(1)
        figure = draw(self.sheet(replace(image, row=7), by=By.MEAN))
        assert axes_of(figure).get_xlabel().splitlines()[1:] == ["mean 1.00", "image 0, row 7"]
        assert figure.get_suptitle() == "mine: highest mean losses"
        named = draw(self.sheet(replace(image, loss=None, predicted=None), by=None))
        assert axes_of(named).get_xlabel() == "3\nloss –\nimage 0"
        assert named.get_suptitle() == "mine"

    @pytest.mark.parametrize("images", [4, 6, 12])
    @pytest.mark.parametrize("shape", [(27, 27), (20, 28), (28, 20)])
    def test_all_words_are_within_the_picture(self, images: int, shape: tuple[int, int]) -> None:
        pixels = (np.zeros(shape, np.uint8),) * images
        figure = draw(replace(self.sheet(*self.images(images)), pixels=pixels))
        figure.canvas.print_figure(BytesIO(), format="png")  # lays it out
        lowest = min(axes.xaxis.label.get_window_extent().y0 for axes in figure.axes)
        assert 0.02 * figure.dpi < lowest < 0.6 * figure.dpi, "in inches"

    def test_targets_that_are_no_classes_stand_alone_and_colours_are_drawn(self) -> None:
        [image] = self.images(1)
        hard = [replace(image, label=label, predicted=None) for label in (0.25, [1.0, -2.5])]
        drawn = [axes for axes in draw(self.sheet(*hard)).axes if axes.images]
        words = [axes.get_xlabel().splitlines()[0] for axes in drawn]
        assert words == ["0.25", "1, -2.5"]
        assert {axes.xaxis.label.get_color() for axes in drawn} == {"black"}

    @pytest.mark.parametrize("images", [1, 6, 24])
    def test_it_is_as_large_as_it_has_images(self, images: int) -> None:
        assert len(draw(self.sheet(*self.images(images))).axes) == max(images, 1)


@pytest.mark.parametrize(
    ("picture_format", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_names_are_written_as_they_are(picture_format: str, begins: bytes) -> None:
    odd = curves(line("_$\\frac"), line("日本 $x$"), line("$"))
    assert render(draw(odd), picture_format).startswith(begins)


def test_the_style_of_others_in_this_process_changes_no_picture_and_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = curves(line())
    usual = picture(shown, "png")
    monkeypatch.setitem(rcParams, "figure.facecolor", "red")
    monkeypatch.setitem(rcParams, "lines.linewidth", 9.0)
    monkeypatch.setitem(rcParams, "font.size", 30.0)
    assert picture(shown, "png") == usual
    assert (rcParams["figure.facecolor"], rcParams["lines.linewidth"]) == ("red", 9.0)
