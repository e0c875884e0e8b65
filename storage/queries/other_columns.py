"""Names that other tools have for a column, and misspelt ones."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

#: How alike two names must be, of 1, for one to be a slip of the other.
ALIKE = 0.6

#: The columns that are meant by other names, the first of them that a view has.
OTHERS = {
    **dict.fromkeys(("lr", "eta"), ("learning_rate",)),
    **dict.fromkeys(
        ("batch_size", "batch", "batchsize", "bs"), ("images_per_iteration", "image_count")
    ),
    **dict.fromkeys(
        ("epochs", "epoch", "steps", "step", "iter", "iters"),
        ("iterations", "iteration", "completed_iterations"),
    ),
    **dict.fromkeys(("optim", "solver"), ("optimizer",)),
    **dict.fromkeys(("model", "net"), ("network",)),
    **dict.fromkeys(("accuracy", "acc"), ("test_accuracy", "accuracy")),
    **dict.fromkeys(
        ("val_acc", "val_accuracy", "validation_accuracy", "test_acc"), ("test_accuracy",)
    ),
    **dict.fromkeys(("val_loss", "validation_loss"), ("test_loss",)),
    **dict.fromkeys(("loss", "train_loss", "last_loss"), ("final_loss", "loss")),
    **dict.fromkeys(("created", "submitted", "submitted_at"), ("created_at",)),
    **dict.fromkeys(("date", "time", "timestamp"), ("created_at", "started_at", "at")),
    **dict.fromkeys(("finished", "finished_at", "completed_at", "end"), ("ended_at",)),
    **dict.fromkeys(("duration", "runtime", "elapsed"), ("seconds",)),
    **dict.fromkeys(("error", "failure", "why"), ("reason", "message")),
    **dict.fromkeys(("host", "hostname", "machine"), ("submitter_host", "actor_host")),
    **dict.fromkeys(("who", "author"), ("submitter", "actor")),
    **dict.fromkeys(("run", "run_id"), ("id", "run_id")),
}


def find_nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the one of the names that is meant by a name which is none."""
    word = name.lower()
    others = [other for other in OTHERS.get(word, ()) if other in known]
    return next(iter(others or get_close_matches(word, known, n=1, cutoff=ALIKE)), None)
