"""The views that people query: the same on both databases, stable when tables change."""

from __future__ import annotations

from sqlalchemy import Connection

from tapeworks.storage.queries import views_postgresql, views_sqlite

#: Names of a run's settings in the view `runs`, with the kind of each. `iterations` is a column of
#: its own.
SETTINGS = {
    "network": "text",
    "options": "text",
    "dataset": "text",
    "data_dir": "text",
    "classes": "list",
    "images": "integer",
    "images_per_iteration": "integer",
    "test_images": "integer",
    "evaluate_every": "integer",
    "patience": "integer",
    "learning_rate": "number",
    "optimizer": "text",
    "momentum": "number",
    "adam_beta_1": "number",
    "adam_beta_2": "number",
    "adam_epsilon": "number",
    "schedule": "text",
    "warmup_iterations": "integer",
    "final_learning_rate": "number",
    "seed": "integer",
    "gradients": "text",
    "microbatch_size": "integer",
    "shards": "integer",
    "checkpoint_every": "integer",
    "record_images_every": "integer",
    "audit": "number",
    "allow_mixed_workers": "boolean",
    "unfolding": "text",
    "image_side": "integer",
    "kernel_sizes": "list",
    "filters": "integer",
}

#: The views' columns, in the order of the documentation.
COLUMNS = {
    "runs": (
        *("id", "name", "status", "reason", "request", "priority", "note", "tags"),
        *("submitter", "submitter_host"),
        *("iterations", "completed_iterations", "first_loss", "final_loss"),
        *("test_loss", "test_accuracy", "created_at", "started_at", "ended_at", "seconds"),
        *("owner", "term", "fingerprint", "images_digest", "parameters_digest"),
        *("network_digest", "parent_id", "parent_iterations", "pruned_at"),
        *SETTINGS,
    ),
    "iterations": (
        *("run_id", "iteration", "images", "loss", "mean_loss", "accuracy", "gradient_norm"),
        *("started_at", "seconds", "images_per_second", "term", "shards", "attempts", "workers"),
        "parameters_digest",
    ),
    "images": (
        *("run_id", "iteration", "place", "image", "row", "label", "predicted"),
        *("loss", "gradient_norm"),
    ),
    "ledger": (
        *("run_id", "iteration", "first_image", "image_count", "shard", "attempt", "term"),
        *("worker", "seconds", "received_at", "network_digest"),
    ),
    "workers": (
        *("run_id", "worker", "images", "answers", "seconds", "images_per_second"),
        *("first_at", "last_at"),
    ),
    "events": ("run_id", "at", "kind", "message", "worker", "actor", "actor_host"),
    "evaluations": ("run_id", "completed_iterations", "images", "loss", "accuracy", "confusion"),
    "checkpoints": ("run_id", "completed_iterations", "digest", "bytes"),
    "tags": ("run_id", "key", "value"),
    "options": ("run_id", "name", "value"),
    "networks": ("digest", "source", "runs"),
    "deletions": (
        *("run_id", "name", "status", "completed_iterations", "created_at"),
        *("submitter", "submitter_host", "at", "actor", "actor_host"),
    ),
}

NAMES = tuple(COLUMNS)


def create_views(connection: Connection) -> None:
    """Replace the views by those of this version."""
    drop_views(connection)
    for name, query in queries(connection.dialect.name).items():
        statement = f"CREATE VIEW {name} AS\n{query}"
        if connection.dialect.name == "postgresql":  # whose driver takes % for a place to fill
            statement = statement.replace("%", "%%")
        connection.exec_driver_sql(statement)


def drop_views(connection: Connection) -> None:
    """Remove the views, so that the tables under them can change."""
    kind = "pg_views" if connection.dialect.name == "postgresql" else "sqlite_master"
    for name in NAMES:
        if _is_view(connection, name, kind):
            connection.exec_driver_sql(f"DROP VIEW {name}")


def _is_view(connection: Connection, name: str, kind: str) -> bool:
    where = {
        "pg_views": f"viewname = '{name}' AND schemaname = current_schema()",
        "sqlite_master": f"type = 'view' AND name = '{name}'",
    }[kind]
    found = connection.exec_driver_sql(f"SELECT 1 FROM {kind} WHERE {where}")
    return found.first() is not None


def queries(dialect: str) -> dict[str, str]:
    """The SELECT of each view, by its name."""
    own = views_sqlite if dialect == "sqlite" else views_postgresql
    words = own.WORDS
    return {
        "runs": _runs(words),
        "iterations": _iterations(words),
        "images": own.IMAGES,
        "ledger": own.LEDGER,
        "workers": _WORKERS,
        "events": "SELECT run_id, at, kind, message, worker, actor, actor_host\nFROM stored_events",
        "evaluations": "SELECT run_id, completed_iterations, images, loss, accuracy, confusion\n"
        "FROM stored_evaluations",
        "checkpoints": "SELECT run_id, completed_iterations, digest,\n"
        "  length(parameters) + coalesce(length(optimizer_state), 0) AS bytes\n"
        "FROM stored_checkpoints",
        "tags": "SELECT run_id, key, value FROM stored_tags",
        "options": own.OPTIONS,
        "networks": "SELECT n.digest, n.source,\n"
        "  (SELECT count(*) FROM stored_runs AS r WHERE r.network_digest = n.digest) AS runs\n"
        "FROM stored_networks AS n",
        "deletions": "SELECT run_id, name, status, completed_iterations, created_at,\n"
        "  submitter, submitter_host, at, actor, actor_host\n"
        "FROM stored_deletions",
    }


def _runs(words: dict[str, str]) -> str:
    settings = ",\n  ".join(
        f"{words[kind].format(name=name)} AS {name}" for name, kind in SETTINGS.items()
    )
    seconds = words["seconds_between"].format(since="r.started_at", until="r.ended_at")
    return f"""SELECT r.id, r.name, r.status, r.reason, r.request, r.priority, r.note,
  {words["tags"]} AS tags, r.submitter, r.submitter_host,
  r.iterations, r.completed_iterations, r.first_loss, r.final_loss,
  r.test_loss, r.test_accuracy, r.created_at, r.started_at, r.ended_at,
  {seconds} AS seconds,
  r.owner, r.term, r.fingerprint, r.images_digest, r.parameters_digest,
  r.network_digest, r.parent_id, r.parent_iterations, r.pruned_at,
  {settings}
FROM stored_runs AS r"""


def _iterations(words: dict[str, str]) -> str:
    started = words.get("moment", "{microseconds}").format(microseconds="i.started_at")
    return f"""SELECT r.id AS run_id, i.iteration, i.images, i.loss, i.loss / i.images AS mean_loss,
  i.accuracy, i.gradient_norm, {started} AS started_at, i.seconds,
  i.images / nullif(i.seconds, 0) AS images_per_second, i.term, i.shards, i.attempts, i.workers,
  {words["hex"].format(bytes="i.parameters_digest")} AS parameters_digest
FROM stored_iterations AS i JOIN stored_runs AS r ON r.number = i.run"""


_WORKERS = """SELECT r.id AS run_id, w.name AS worker, w.images, w.answers, w.seconds,
  w.images / nullif(w.seconds, 0) AS images_per_second, w.first_at, w.last_at
FROM stored_workers AS w JOIN stored_runs AS r ON r.number = w.run"""
