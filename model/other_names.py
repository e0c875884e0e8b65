"""Names that other tools have for a setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

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
        *("max_steps", "max_iter", "n_iter", "updates"),
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


def nearest_setting(name: str, settings: Iterable[str]) -> str | None:
    """Return the one of the settings that is meant by a name which is none."""
    plain = name.lower().replace("-", "_")
    if SETTINGS.get(plain) in (known := list(settings)):
        return SETTINGS[plain]
    return next(iter(difflib.get_close_matches(plain, known, n=1)), None)
