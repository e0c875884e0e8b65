"""Wrong calls: the right exit code, one sentence, no traceback, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.calls import Call, Called
from tests.support.desk import CENTURY, DONE, WAITING, nothing_changes, told_in_one_sentence
from tests.support.processes import ROOT

#: Command line, exit code, and words of the sentence.
WRONG: list[tuple[str, int, str]] = [
    # What is trained on
    ("train --dataset cifar", 2, "no data set named 'cifar'"),
    ("train --dataset digit", 2, "Did you mean digits?"),
    ("train --dataset nowhere.npz", 2, "no file nowhere.npz"),
    ("train --dataset text.npz", 2, "not an .npz file"),
    ("train --dataset nameless.npz", 2, "no array 'images'"),
    ("train --dataset flat.npz", 2, "built-in network takes images (n, rows, columns)"),
    ("train --dataset cifar10", 2, "any shape, and float targets: --network FILE.py"),
    ("submit --dataset wine", 2, "any shape, and float targets: --network FILE.py"),
    ("train --dataset small.npz --images 4", 2, "too small"),
    ("train --dataset mnist --data-dir nowhere", 2, "no directory nowhere"),
    ("train --dataset mnist --data-dir empty", 2, "no MNIST files in empty"),
    ("train --dataset mnist --data-dir truncated", 2, "truncated"),
    ("train --dataset mnist --data-dir different", 2, "20 images and 19 labels"),
    ("train --dataset mnist --data-dir other", 2, "not an IDX file"),
    ("train --dataset mnist --data-dir damaged", 2, "damaged gzip"),
    ("train --classes 3", 2, "classes"),
    ("train --classes 3,3", 2, "different classes"),
    ("train --classes 3,11", 2, "no class 11"),
    ("train --classes three,six", 2, "classes"),
    ("train --images 0", 2, "images=0"),
    ("train --images -5", 2, "images=-5"),
    ("train --images 100000", 2, "Expected at least 100000"),
    ("train --images 1.5", 2, "images=1.5"),
    ("train --test-images 5000", 2, "test_images=5000"),
    ("train --evaluate-every 5", 2, "evaluate_every=5 test_images=0"),
    ("train --test-images 5 --patience 2", 2, "patience=2 evaluate_every=0"),
    # How
    ("train --iterations 0", 2, "iterations=0"),
    ("train --learning-rate -0.1", 2, "learning_rate=-0.1"),
    ("train --learning-rate 0", 2, "learning_rate=0"),
    ("train --learning-rate nan", 2, "learning_rate=nan"),
    ("train --learning-rate inf", 2, "learning_rate=inf"),
    ("train --learning-rate 1e38", 2, "learning_rate=1e38"),
    ("train --kernel-sizes 30", 2, "leave no pixel"),
    ("train --unfolding sideways", 2, "unfolding=sideways"),
    ("train --gradients none", 2, "gradients=none"),
    ("train --shards 0", 2, "shards=0"),
    ("train --microbatch-size 0", 2, "microbatch_size=0"),
    ("train --checkpoint-every 0", 2, "checkpoint_every=0"),
    ("train --seed -1", 2, "seed=-1"),
    ("train --workers -1", 2, "--workers"),
    ("train --workers two", 2, "--workers"),
    ("train --stop-after 0", 2, "--stop-after"),
    ("train --plot curve.gif", 2, "ending in .png, .svg or .pdf"),
    ("train --plot nowhere/curve.png", 2, "nowhere"),
    ("train --plot directory.png", 2, "a directory"),
    ("train --plot text/curve.png", 2, "does not exist"),
    ("train --name 'two\nlines'", 2, "name"),
    ("train --name ''", 2, "name"),
    ("train --plot ''", 2, "Received: an empty text"),
    (f"export {DONE} --output ''", 2, "Received: an empty text"),
    (f"train --name {'x' * 81}", 2, "name"),
    # Files
    ("train --config nowhere.yaml", 2, "cannot be read"),
    ("train --config directory.png", 2, ".toml, .yaml or .yml"),
    ("train --config list.yaml", 2, "settings by name"),
    ("train --config broken.yaml", 2, "cannot be parsed"),
    ("train --config binary.yaml", 2, "not UTF-8"),
    ("train --config misspelt.yaml", 2, "Did you mean learning_rate?"),
    ("train --config broken.toml", 2, "cannot be parsed"),
    ("train --config wrong.toml", 2, "images=many"),
    ("train --config settings.ini", 2, ".toml, .yaml or .yml"),
    ("train --init-from nowhere.safetensors", 2, "cannot be read"),
    ("train --init-from text", 2, "not a safetensors file"),
    ("train --init-from nan.safetensors", 2, "conv_2 holds a NaN"),
    ("train --init-from shapes.safetensors", 2, "conv_3"),
    ("train --init-from doubles.safetensors", 2, "float64"),
    ("train --init-from surplus.safetensors", 2, "conv_4"),
    ("submit --dataset cifar --images 0", 2, "images=0"),
    ("submit --images 5000000", 2, "digits has 364 images"),
    ("submit --vary images=9,5000000", 2, "digits has 364 images"),
    ("submit --classes 3,11", 2, "digits has no class 11"),
    ("submit --dataset small.npz --images 4", 2, "or square ones, which are enlarged"),
    ("submit --dataset mnist --data-dir truncated --images 4", 2, "is truncated"),
    (f"retry {DONE} --set test_images=5000", 2, "digits has 364 images"),
    ("submit --init-from shapes.safetensors", 2, "conv_3"),
    ("submit --config misspelt.yaml", 2, "Did you mean learning_rate?"),
    ("submit --name 'two\nlines'", 2, "name"),
    # Runs
    ("train --resume nothing", 3, "no run 'nothing'"),
    (f"train --resume {DONE}", 2, "completed"),
    (f"train --resume {WAITING} --images 5", 2, "--resume"),
    ("show nothing", 3, "no run 'nothing'"),
    ("show ''", 3, "no run ''"),
    (f"show {CENTURY}", 2, "several share"),
    (f"show {DONE} --events --ledger", 2, "exclude each other"),
    ("watch nothing", 3, "no run 'nothing'"),
    ("plot nothing", 3, "no run 'nothing'"),
    (f"plot {DONE} nothing", 3, "no run 'nothing'"),
    (f"plot {WAITING}", 2, "no iteration"),
    (f"plot {DONE} --output curve.jpeg", 2, "ending in .png, .svg or .pdf"),
    (f"plot {DONE} --output nowhere/curve.png", 2, "nowhere"),
    ("export nothing", 3, "no run 'nothing'"),
    (f"export {CENTURY}", 2, "several share"),
    (f"export {WAITING}", 2, "no iteration"),
    (f"export {DONE} --to xml", 2, "--to"),
    (f"export {DONE} --to safetensors", 2, "--output"),
    (f"export {DONE} --to csv --after 1", 2, "--after"),
    (f"export {DONE} --to parquet", 2, "--output"),
    (f"export {DONE} --to parquet --best loss --output new", 2, "--best"),
    (f"export {DONE} --to keras --output new.h5", 2, "end in .keras"),
    (f"export {DONE} --to savedmodel", 2, "--output"),
    (f"export {DONE} --to savedmodel --output truncated", 2, "in the way"),
    (f"export {DONE} --to savedmodel --output text", 2, "in the way"),
    (f"export {DONE} --to safetensors --best loss --output new", 2, "never evaluated"),
    (f"export {DONE} --to safetensors --best loss --after 1 --output new", 2, "exclude each other"),
    (f"export {DONE} --to safetensors --output new --after 9", 3, "keeps no parameters after 9"),
    (f"export {DONE} --output nowhere/history.csv", 2, "nowhere"),
    (f"export {DONE} --to csv --output directory.png", 2, "a directory"),
    (f"export {DONE} --output h.xlsx", 2, "ends in .csv, .json"),
    (f"export {DONE} --output history", 2, "ends in /, for a SavedModel"),
    (f"export {DONE} --to parquet --output x.csv", 2, "--to parquet --output x.csv"),
    (f"export {DONE} --to csv --output model/", 2, "tells of savedmodel"),
    (f"export {DONE} {WAITING} --output x.safetensors", 2, "Expected one run"),
    ("predict nothing small.npz", 3, "no run 'nothing'"),
    ("evaluate nothing", 3, "no run 'nothing'"),
    (f"evaluate {DONE}", 2, "--test-images"),
    (f"evaluate {DONE} --test-images 0", 2, "--test-images"),
    (f"evaluate {DONE} --test-images 5000", 2, "test_images=5000"),
    (f"evaluate {DONE} --test-images 5 --after 9", 3, "keeps no parameters after 9"),
    (f"evaluate {DONE} --test-images 5 --best loss", 2, "never evaluated"),
    (f"evaluate {DONE} --workers -1", 2, "--workers"),
    (f"predict {DONE}", 2, "FILE"),
    (f"predict {DONE} nowhere.png", 2, "no file nowhere.png"),
    (f"predict {DONE} text", 2, ".png, .jpg, .jpeg or .npz"),
    (f"predict {DONE} directory.png", 2, "no file directory.png"),
    (f"predict {DONE} text.npz", 2, "not an .npz file"),
    (f"predict {DONE} flat.npz", 2, "dimension"),
    (f"predict {DONE} nameless.npz", 2, "no array 'images'"),
    (f"predict {DONE} small.npz --after 9", 3, "keeps no parameters after 9"),
    (f"predict {DONE} small.npz --best loss", 2, "never evaluated"),
    ("replay nothing", 3, "no run 'nothing'"),
    (f"replay {CENTURY}", 2, "several share"),
    (f"replay {WAITING}", 3, "no iteration 0"),
    (f"replay {WAITING} 3", 3, "no iteration 3"),
    (f"replay {DONE} 2", 3, "no iteration 2"),
    (f"replay {DONE} 0-9999999999", 3, "no iteration 2"),
    (f"replay {DONE} 1-0", 2, "Received: '1-0'"),
    (f"replay {DONE} one", 2, "such as 3"),
    (f"replay {DONE} 0-", 2, "such as 3"),
    (f"replay {DONE} --workers -1", 2, "--workers"),
    # The command line itself
    ("trian", 2, "trian"),
    ("--images 5", 2, "--images"),
    ("train --imagse 5", 2, "--imagse"),
    ("train --images", 2, "--images"),
    ("train surplus", 2, "surplus"),
    ("show", 2, "RUN"),
    ("plot", 2, "RUN"),
    ("export", 2, "RUN"),
    ("replay", 2, "RUN"),
    ("runs --limit 0", 2, "--limit"),
    ("worker --processes 0", 2, "--processes"),
    ("scheduler surplus", 2, "surplus"),
    ("db sideways", 2, "sideways"),
]


@pytest.mark.parametrize(
    ("line", "code", "words"), WRONG, ids=[line.replace("\n", " ")[:70] for line, *_ in WRONG]
)
def test_a_wrong_call_is_told_in_one_sentence_and_leaves_nothing(
    line: str, code: int, words: str, desk: Path, call: Call
) -> None:
    with nothing_changes(desk):
        called = call(line)
    told_in_one_sentence(called, code, words)


@pytest.mark.parametrize("line", ["train --images 0", "show nothing", "trian"])
def test_a_wrong_call_is_told_alike_by_a_process_of_its_own(
    line: str, desk: Path, call: Call
) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tapeworks", *line.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told = Called(code=process.returncode, out=process.stdout, err=process.stderr)
    assert told == call(line)


def test_a_picture_that_cannot_be_written_is_told_before_anything_is_trained(
    desk: Path, call: Call
) -> None:
    with nothing_changes(desk):
        called = call("train --workers 0 --plot /proc/curve.png")
    told_in_one_sentence(called, 2, "/proc/curve.png")
