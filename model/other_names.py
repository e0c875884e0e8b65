"""Names that other tools have for a setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

_OTHERS = {
    "checkpoint_every": ("save_every", "save_steps", "checkpoint_interval"),
    "classes": ("labels", "num_classes", "n_classes"),
    "data_dir": ("data_path", "data_root", "datadir"),
    "dataset": ("data", "train_data"),
    "evaluate_every": ("eval_every", "eval_interval", "eval_steps", "validate_every"),
    "filters": ("channels", "num_filters"),
    "final_learning_rate": ("min_lr", "final_lr", "eta_min"),
    "images": ("samples", "examples", "train_images", "train_size", "num_samples"),
    "image_side": ("image_size", "img_size", "input_size"),
    "images_per_iteration": ("batch_size", "batch", "bs", "minibatch_size", "mini_batch_size"),
    "iterations": (
        *("epochs", "epoch", "num_epochs", "n_epochs", "max_epochs", "steps", "num_steps"),
        *("max_steps", "max_iter", "n_iter", "iter", "iters", "updates"),
    ),
    "kernel_sizes": ("kernel_size", "kernels"),
    "learning_rate": ("lr", "eta", "learningrate", "step_size", "alpha"),
    "microbatch_size": ("micro_batch_size", "micro_batch"),
    "network": ("model", "net", "architecture"),
    "optimizer": ("optim", "optimiser", "solver", "algorithm"),
    "patience": ("early_stopping", "early_stopping_patience"),
    "schedule": ("scheduler", "lr_schedule", "lr_scheduler", "learning_rate_schedule"),
    "seed": ("random_seed", "random_state", "rng_seed"),
    "shards": ("num_shards", "chunks"),
    "test_images": ("test_size", "val_images", "validation_images", "val_size"),
    "warmup_iterations": ("warmup", "warmup_steps", "warm_up"),
}

#: The setting that each of these names is for.
SETTINGS = {other: name for name, others in _OTHERS.items() for other in others}


#: How alike two words must be, of 1, for one to stand for the other, letters of the start of a
#: word that stands for it, and letters of a word for each slip in it.
ALIKE, SHORTEST_START, LETTERS_PER_SLIP = 0.7, 3, 3


def nearest_setting(name: str, settings: Iterable[str]) -> str | None:
    """Return the one of the settings that is meant by a name which is none."""
    known = {one: [one] for one in settings}
    others = {other: [meant] for other, meant in SETTINGS.items() if meant in known}
    return next(iter(find_near(name.lower().replace("-", "_"), others | known)), None)


def find_near(word: str, words: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return what stands for this word, or for the one that it is the start or a slip of.

    Words that stand for themselves come before others for the same, which a slip of them shares
    the first letter with: "latch" is no "batch".
    """
    if word in words:
        return words[word]
    own = [one for one, meant in words.items() if one in meant]
    others = [one for one in words if one not in own and one[:1] == word[:1]]
    near = (
        _find_slipped(word, [*own, *others])
        or difflib.get_close_matches(word, own, n=1, cutoff=ALIKE)
        or (len(word) >= SHORTEST_START and [one for one in own if one.startswith(word)])
        or difflib.get_close_matches(word, others, n=1, cutoff=ALIKE)
    )
    return words[near[0]] if near else []


def _find_slipped(word: str, words: Sequence[str]) -> list[str]:
    """Return the first word of those that differ in the fewest letters, if these are few enough."""
    most = len(word) // LETTERS_PER_SLIP
    slips = {one: count_slips(word, one) for one in words if abs(len(one) - len(word)) <= most}
    fewest = min(slips, key=slips.__getitem__, default="")
    return [fewest] if fewest and slips[fewest] <= most else []


def count_slips(typed: str, meant: str) -> int:
    """Count the letters that are wrong, missing, too many, or exchanged with their neighbours."""
    before, line = [0] * (len(meant) + 1), list(range(len(meant) + 1))
    for row, letter in enumerate(typed, start=1):
        earlier, before, line = before, line, [row]
        for place, wanted in enumerate(meant, start=1):
            slips = min(before[place] + 1, line[-1] + 1, before[place - 1] + (letter != wanted))
            if row > 1 < place and typed[row - 2 : row] == wanted + meant[place - 2]:
                slips = min(slips, earlier[place - 2] + 1)
            line.append(slips)
    return line[-1]
