"""The values in pictures, against values computed by hand."""

from __future__ import annotations

import re
from array import array
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tapeworks.errors import UsageError
from tapeworks.model import datasets
from tapeworks.model.config import RunConfig, run_config
from tapeworks.plotting.curves import LOGARITHMIC_FROM, Measure, curves
from tapeworks.plotting.hardest import (
    ContactSheet,
    check_pictures,
    contact_sheet,
    find_images,
    pixels_of,
)
from tapeworks.plotting.heat_map import (
    MOST_COLUMNS,
    MOST_ROWS,
    choose_iterations,
    group_rows,
    heat_map,
    last_known,
    newest_at,
)
from tapeworks.plotting.image_losses import By, rank, read_image_losses, read_last_losses
from tapeworks.plotting.kinds import Kind, Wanted, content, picture_format
from tapeworks.plotting.timeline import axis, distinct, timeline
from tapeworks.scheduler.driving.driver import images_digest
from tapeworks.scheduler.errors import CannotContinueHere
from tapeworks.storage.errors import ImageNotFound, IterationNotFound, IterationNotRecorded
from tapeworks.storage.history import History
from tapeworks.storage.records import RunRecord
from tapeworks.wire.chunks import make_chunks
from tests.support.made_up import LEASE, iteration_of, ledger_of, submit_and_claim
from tests.support.stories import evaluated, tell, values_of

LOSSES = [[3.0, 1.0], [2.0, 0.5], [1.0, 0.25]]
NAN = float("nan")


class TestCurves:
    def test_a_loss_is_the_sum_over_the_images_to_the_last_digit(self, history: History) -> None:
        losses = [[0.1, 0.2], [0.3, 0.7]]
        run = tell(history, losses, name="mine", evaluations=[evaluated(2, 6.0, 0.5, images=8)])
        shown = curves(history, [run], Measure.LOSS)
        [line] = shown.lines
        assert (line.label, line.iterations) == ("mine", (0, 1))
        assert line.values == (0.1 + 0.2, 0.3 + 0.7)
        assert (shown.images, line.evaluated_after, line.evaluated) == (2, (2,), (1.5,))

    def test_losses_over_different_numbers_of_images_are_means(self, history: History) -> None:
        runs = [tell(history, LOSSES), tell(history, [[3.0, 6.0, 9.0]])]
        shown = curves(history, runs, Measure.LOSS)
        assert shown.images == 1
        assert [line.values for line in shown.lines] == [(2.0, 1.25, 0.625), (6.0,)]

    def test_accuracy_and_gradient_norms_are_taken_as_they_are(self, history: History) -> None:
        run = tell(history, LOSSES, evaluations=[evaluated(1, 6.0, 0.75)])
        [accuracy] = curves(history, [run], Measure.ACCURACY).lines
        assert (accuracy.values, accuracy.evaluated) == ((0.5, 0.5, 0.5), (0.75,))
        [norm] = curves(history, [run], Measure.GRADIENT_NORM).lines
        assert (norm.values, norm.evaluated) == ((1.0, 2.0, 3.0), ())

    @pytest.mark.parametrize(
        ("lowest", "expected"),
        [
            (1 / LOGARITHMIC_FROM, True),
            (1.01 / LOGARITHMIC_FROM, False),
            (0.0, False),
        ],
    )
    def test_the_axis_is_logarithmic_where_values_are_far_apart(
        self, lowest: float, expected: bool, history: History
    ) -> None:
        run = tell(history, [[1.0], [lowest]])
        assert curves(history, [run], Measure.LOSS).is_logarithmic is expected

    def test_runs_that_predict_nothing_have_no_line_of_accuracy(self, history: History) -> None:
        silent = tell(history, LOSSES, predicts=False, evaluations=[evaluated(1, 2.0, None)])
        other = tell(history, LOSSES, name="other")
        shown = curves(history, [silent, other], Measure.ACCURACY)
        assert [line.run_id for line in shown.lines] == [other.id]
        with pytest.raises(UsageError, match=f"no accuracy to draw; .*{silent.id}"):
            curves(history, [silent], Measure.ACCURACY)
        [loss] = curves(history, [silent], Measure.LOSS).lines
        assert (len(loss.values), loss.evaluated_after) == (len(LOSSES), (1,))

    def test_accuracy_is_never_logarithmic(self, history: History) -> None:
        run = tell(history, [[1.0]], evaluations=[evaluated(1, 1.0, 0.001)])
        assert not curves(history, [run], Measure.ACCURACY).is_logarithmic


class TestTheHeatMap:
    def test_the_hardest_image_of_the_last_iteration_is_on_top(self, history: History) -> None:
        shown = heat_map(history, tell(history, [[3.0, 1.0, 2.0], [0.5, 0.75, 0.25]]))
        assert shown.iterations == range(2)
        assert_array_equal(shown.images, [1, 0, 2])
        assert_array_equal(shown.losses, [[1.0, 0.75], [3.0, 0.5], [2.0, 0.25]])
        assert shown.row_images == (1, 1, 1)

    def test_an_image_keeps_the_loss_with_which_it_was_last_computed(
        self, history: History
    ) -> None:
        run = tell(
            history,
            [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            numbers=[[0, 3], [3, 1], [0, 1]],
            settings={"images": 5},
        )
        shown = heat_map(history, run)
        assert_array_equal(shown.images, [1, 0, 3])  # 2 and 4 were never computed
        assert_array_equal(shown.losses, [[NAN, 4.0, 6.0], [1.0, 1.0, 5.0], [2.0, 3.0, 3.0]])
        assert shown.values()["losses"] == [[None, 4.0, 6.0], [1.0, 1.0, 5.0], [2.0, 3.0, 3.0]]

    def test_an_iteration_that_is_not_recorded_shows_what_was_last_known(
        self, history: History
    ) -> None:
        losses = [[float(10 - place), float(place)] for place in range(6)]
        shown = heat_map(history, tell(history, losses, settings={"record_images_every": 3}))
        assert_array_equal(shown.losses, [[10, 10, 8, 8, 8, 5], [0, 0, 2, 2, 2, 5]])
        assert (shown.iterations, shown.is_last_known) == (range(6), True)
        assert not heat_map(history, tell(history, losses)).is_last_known

    def test_only_what_a_column_shows_is_read(self) -> None:
        assert newest_at(range(2, 12, 3), [0, 1, 3, 4, 9, 11]) == [1, 4, 11]
        assert newest_at([2, 3], [5]) == []

    def test_iterations_between_two_columns_count_where_they_compute_a_part(self) -> None:
        iterations = [(place, values_of([float(place)], [place % 3])) for place in range(6)]
        table = last_known(iterations, 3, range(2, 6, 3))
        assert_array_equal(table, [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]])

    @pytest.mark.parametrize(
        ("first", "completed", "expected"),
        [
            (0, 1, [0]),
            (0, MOST_COLUMNS, range(MOST_COLUMNS)),
            (0, MOST_COLUMNS + 1, range(0, MOST_COLUMNS + 1, 2)),
            (7, 10, [7, 8, 9]),
            (0, 3 * MOST_COLUMNS - 1, range(1, 3 * MOST_COLUMNS - 1, 3)),
        ],
    )
    def test_of_many_iterations_every_so_many_are_shown_and_the_last(
        self, first: int, completed: int, expected: range
    ) -> None:
        shown = choose_iterations(first, completed)
        assert list(shown) == list(expected)
        assert shown[-1] == completed - 1

    def test_of_many_images_a_row_shows_the_mean_of_several(self) -> None:
        losses = np.arange(MOST_ROWS + 1, dtype=np.float32)[:, np.newaxis]
        losses = np.concatenate([losses, np.full_like(losses, NAN)], axis=1)
        losses[1, 1] = 9.0
        rows, row_images = group_rows(losses)
        assert row_images == (2, *[1] * (MOST_ROWS - 1))
        assert_array_equal(rows[:3], [[0.5, 9.0], [2.0, NAN], [3.0, NAN]])

    def test_equal_losses_stay_in_the_order_of_the_images(self) -> None:
        assert rank(np.array([1.0, NAN, 2.0, 1.0])).tolist() == [2, 0, 3]


class TestTheTimeline:
    def test_a_bar_ends_with_the_arrival_and_is_as_long_as_was_computed(
        self, history: History
    ) -> None:
        shown = timeline(history, tell(history, [[3.0, 1.0, 1.0], [2.0, 0.5, 1.0]]))
        assert shown.workers == ("desk-9", "desk-10")
        assert (shown.iterations, shown.cuts) == ((0, 1), ())
        assert shown.begins == pytest.approx((0.0, 1.1))
        assert [bar.begin for bar in shown.bars] == pytest.approx([0.1, 0.1, 1.2, 1.2])
        assert [bar.seconds for bar in shown.bars] == [0.5, 0.75, 0.5, 0.75]
        rows = [(bar.worker, bar.iteration, bar.shard, bar.attempt) for bar in shown.bars]
        assert rows == [(0, 0, 0, 1), (1, 0, 1, 1), (0, 1, 0, 1), (1, 1, 1, 2)]

    def test_of_one_iteration_it_begins_with_that(self, history: History) -> None:
        shown = timeline(history, tell(history, LOSSES), 2)
        assert (shown.iterations, shown.begins) == ((2,), (0.0,))
        assert {bar.iteration for bar in shown.bars} == {2}
        assert shown.bars[0].begin == pytest.approx(0.1)

    def test_iterations_without_times_are_left_out_and_counted(self, history: History) -> None:
        run = tell(history, [[1.0, 2.0]] * 7, settings={"record_images_every": 3})
        shown = timeline(history, run)
        assert (shown.iterations, shown.left_out) == ((0, 2, 5, 6), 3)
        assert {bar.iteration for bar in shown.bars} == {0, 2, 5, 6}
        with pytest.raises(IterationNotRecorded, match=r"iteration 3: .*in full: 2 and 5\."):
            timeline(history, run, 3)

    def test_an_answer_with_several_lines_in_the_ledger_is_one_bar(self, history: History) -> None:
        record = iteration_of(submit_and_claim(history))
        first, second, third = ledger_of(record)
        lines = [first, second, replace(third, shard=first.shard)]
        assert [line.shard for line in distinct(lines)] == [0, 1]
        assert len(distinct([first, replace(first, attempt=2)])) == 2

    def test_a_long_pause_is_cut_and_told(self, history: History) -> None:
        first = replace(iteration_of(submit_and_claim(history)), seconds=4.0)
        starts = [0, 4.25, 10.0, 100.0]  # pauses of 0.25, 1.75 and 86 seconds; 16 without them
        records = [
            replace(first, iteration=place, started_at=first.started_at + timedelta(seconds=start))
            for place, start in enumerate(starts)
        ]
        begins, cuts = axis(records)
        left = 0.03 * 16
        assert begins == pytest.approx((0.0, 4.25, 8.25 + left, 12.25 + 2 * left))
        assert [cut.at for cut in cuts] == pytest.approx([8.25 + left, 12.25 + 2 * left])
        assert [cut.seconds for cut in cuts] == pytest.approx([1.75, 86.0])


def sheet_of(history: History, run: RunRecord, iteration: int | None = None) -> ContactSheet:
    images = find_images(history, run, iteration=iteration)
    return contact_sheet(run, images, by=By.LAST, iteration=iteration)


class TestImagesOfAllIterations:
    """A pass over six images in three iterations, and one iteration more; 5 is never computed."""

    LOSSES = ([1.0, 8.0], [3.0, 4.0], [2.0, 5.0])
    NUMBERS = ([0, 1], [2, 1], [0, 3])

    @pytest.fixture
    def run(self, history: History) -> RunRecord:
        return tell(history, self.LOSSES, numbers=self.NUMBERS, settings={"images": 5})

    def test_are_ordered_by_their_last_known_loss_or_by_their_mean(
        self, history: History, run: RunRecord
    ) -> None:
        last = find_images(history, run)
        assert [(one.image, one.loss, one.iteration) for one in last] == [
            (3, 5.0, 2),
            (1, 4.0, 1),
            (2, 3.0, 1),
            (0, 2.0, 2),
        ]
        mean = find_images(history, run, by=By.MEAN)
        assert [(one.image, one.mean_loss, one.iterations) for one in mean] == [
            (1, 6.0, 2),
            (3, 5.0, 1),
            (2, 3.0, 1),
            (0, 1.5, 2),
        ]

    def test_are_as_many_as_are_asked_for_or_those_that_are_named(
        self, history: History, run: RunRecord
    ) -> None:
        assert [one.image for one in find_images(history, run, limit=2)] == [3, 1]
        named = find_images(history, run, [4, 1])
        assert [one.image for one in named] == [4, 1]
        assert (named[0].loss, named[0].mean_loss, named[0].iteration) == (None, None, None)
        assert (named[0].predicted, named[1].predicted) == (None, 6)
        with pytest.raises(ImageNotFound, match="images 0 to 4; none is 5"):
            find_images(history, run, [5])

    def test_are_those_of_the_heat_map_in_its_order(self, history: History, run: RunRecord) -> None:
        for by in By:
            found = [one.image for one in find_images(history, run, by=by)]
            assert heat_map(history, run, by).images.tolist() == found

    def test_the_last_known_losses_need_no_older_iterations(
        self, history: History, run: RunRecord
    ) -> None:
        shown, full = read_last_losses(history, run), read_image_losses(history, run)
        assert_array_equal(shown.last, full.last)
        whole = tell(history, [[1.0, 2.0], [4.0, 3.0], [6.0, 5.0]])
        newest = read_last_losses(history, whole)
        assert (newest.counts.tolist(), newest.last.tolist()) == ([1, 1], [6.0, 5.0])

    def test_have_their_rows_and_labels_as_the_data_set_has_them(self, history: History) -> None:
        run = tell(history, [], settings={"images": 2})
        claim = history.claim(run.id, "alice", LEASE)
        history.set_images(claim, "digest", bytes([1, 0]), array("i", [70_000, 9]).tobytes())
        first, second = find_images(history, run, [0, 1])
        assert ((first.label, first.row), (second.label, second.row)) == ((6, 70_000), (3, 9))


class TestTheHardestImages:
    def test_show_their_pixels_label_and_what_they_were_taken_for(self, history: History) -> None:
        data = datasets.load(RunConfig(images=4)).training
        digest = make_chunks(data.images, data.labels).digest
        losses = [[4.0, 3.0, 2.0, 1.0], [0.5, 0.75, 1.5, 0.25]]
        numbers = [[0, 1, 2, 3], [2, 0, 3, 1]]
        run = tell(history, losses, numbers=numbers, images_digest=digest)
        sheet = sheet_of(history, run)
        assert (sheet.by, sheet.iteration, sheet_of(history, run, iteration=0).iteration) == (
            By.LAST,
            None,
            0,
        )
        assert [image.image for image in sheet.images] == [3, 0, 2, 1]
        assert [image.loss for image in sheet.images] == [1.5, 0.75, 0.5, 0.25]
        assert [image.predicted for image in sheet.images] == [3, 6, 3, 6]
        for image, pixels in zip(sheet.images, sheet.pixels, strict=True):
            assert image.label == (3, 6)[data.labels[image.image]]
            assert_array_equal(pixels, data.images[image.image])

    def test_are_shown_also_where_nothing_is_predicted(self, history: History) -> None:
        data = datasets.load(RunConfig(images=2)).training
        digest = make_chunks(data.images, data.labels).digest
        run = tell(history, [[1.0, 2.0]], images_digest=digest, predicts=False)
        sheet = sheet_of(history, run)
        assert [(one.image, one.predicted) for one in sheet.images] == [(1, None), (0, None)]
        assert sheet.values()["images"][0]["predicted"] is None

    def test_of_a_users_network_are_in_the_shape_that_it_sees(
        self, history: History, tmp_path: Path
    ) -> None:
        images = np.linspace(-2, 2, 4 * 6 * 5 * 3, dtype=np.float32).reshape(4, 6, 5, 3)
        targets = np.array([0.5, 1.5, 2.5, 3.5], np.float32)
        np.savez(tmp_path / "own.npz", images=images, labels=targets)
        settings = {"network": "mine.py", "dataset": str(tmp_path / "own.npz"), "images": 4}
        digest = images_digest(datasets.load(run_config(settings)))
        losses = [[1.0, 4.0, 2.0, 3.0]]
        run = tell(history, losses, images_digest=digest, settings=settings, predicts=False)
        sheet = sheet_of(history, run)
        assert [one.label for one in sheet.images] == [1.5, 3.5, 2.5, 0.5]
        assert {one.shape for one in sheet.pixels} == {(6, 5, 3)}
        ranges = [(int(one.min()), int(one.max())) for one in sheet.pixels]
        assert ranges == [(0, 255), (0, 255), (1, 254), (0, 255)]  # one lies within 0 and 1

    @pytest.mark.parametrize("shape", [(30,), (8, 8, 2), (8, 8, 4), (2, 8, 8, 3), ()])
    def test_are_not_shown_where_they_are_no_pictures(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(UsageError, match=re.escape(f"Images of shape {shape} cannot be shown")):
            check_pictures(shape)

    @pytest.mark.parametrize("shape", [(8, 6), (8, 6, 1), (8, 6, 3)])
    @pytest.mark.parametrize(
        ("low", "high", "shown"),
        [(0.0, 1.0, (0, 255)), (0.2, 0.4, (51, 102)), (-3.0, 5.0, (0, 255))],
    )
    def test_of_numbers_are_shown_from_black_to_white(
        self, shape: tuple[int, ...], low: float, high: float, shown: tuple[int, int]
    ) -> None:
        check_pictures(shape)
        image = np.full(shape, low, np.float32)
        image[0, 0] = high
        pixels = pixels_of(image)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (shape if shape[2:] == (3,) else shape[:2])
        assert (pixels.min(), pixels.max(), pixels[0, 0].min()) == (*shown, shown[1])
        whole = (image - low > 0).astype(np.uint8)
        assert_array_equal(pixels_of(whole).reshape(-1), whole.reshape(-1))

    def test_are_those_of_the_last_iteration_that_was_recorded(self, history: History) -> None:
        data = datasets.load(RunConfig(images=2)).training
        digest = make_chunks(data.images, data.labels).digest
        settings = {"record_images_every": 3, "iterations": 9}  # as if it had been cancelled
        run = tell(history, [[1.0, 2.0]] * 5, images_digest=digest, settings=settings)
        assert [one.iteration for one in sheet_of(history, run).images] == [2, 2]
        with pytest.raises(IterationNotRecorded, match=r"iteration 4: .*in full: 2\. For"):
            sheet_of(history, run, iteration=4)

    def test_are_not_shown_of_other_images_than_the_runs(self, history: History) -> None:
        run = tell(history, LOSSES, images_digest="another data set")
        with pytest.raises(CannotContinueHere, match="other images"):
            sheet_of(history, run)


class TestKinds:
    def test_a_run_without_iterations_is_refused(self, history: History) -> None:
        run = tell(history, [])
        for kind in Kind:
            with pytest.raises(UsageError, match="no iteration yet; it is queued"):
                content(history, [run], Wanted(kind=kind))

    def test_pictures_of_one_run_refuse_several(self, history: History) -> None:
        runs = [tell(history, LOSSES), tell(history, LOSSES)]
        for kind in (Kind.IMAGES, Kind.TIMELINE, Kind.HARDEST):
            with pytest.raises(UsageError, match=f"{kind} shows one run.*2 runs"):
                content(history, runs, Wanted(kind=kind))

    def test_pictures_of_all_iterations_refuse_one(self, history: History) -> None:
        run = tell(history, LOSSES)
        for kind in (Kind.LOSS, Kind.ACCURACY, Kind.GRADIENT_NORM, Kind.IMAGES):
            with pytest.raises(UsageError, match="for the kinds timeline and hardest"):
                content(history, [run], Wanted(kind=kind, iteration=0))

    def test_an_iteration_that_is_not_there_is_refused(self, history: History) -> None:
        run = tell(history, LOSSES)
        for kind in (Kind.TIMELINE, Kind.HARDEST):
            with pytest.raises(IterationNotFound, match="no iteration 3"):
                content(history, [run], Wanted(kind=kind, iteration=3))

    @pytest.mark.parametrize(
        ("name", "expected"), [("a.png", "png"), ("b.SVG", "svg"), ("c.d.pdf", "pdf")]
    )
    def test_the_files_ending_tells_its_format(self, name: str, expected: str) -> None:
        assert picture_format(Path(name)) == expected
        with pytest.raises(UsageError, match="Expected a file ending in"):
            picture_format(Path(f"{name}.gif"))
