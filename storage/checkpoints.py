"""Stored parameters and optimizer states, and the check of their digests when they are read."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, select

from tapeworks.storage.errors import CheckpointDamaged, CheckpointNotFound
from tapeworks.storage.records import CheckpointRecord
from tapeworks.storage.references import run_by_id
from tapeworks.storage.rows import all_of, fetch
from tapeworks.storage.tables import checkpoints


def digest_of(content: bytes | None) -> str | None:
    """SHA-256 of the bytes, in hexadecimal; None of nothing."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def read_checkpoint(
    connection: Connection, run_id: str, completed_iterations: int | None
) -> CheckpointRecord:
    """The bytes as they are stored, after so many iterations or after all that are committed.

    Raises `CheckpointNotFound` or `RunNotFound`.
    """
    newest = run_by_id(connection, run_id).completed_iterations
    wanted = newest if completed_iterations is None else completed_iterations
    of_run = checkpoints.c.run_id == run_id, checkpoints.c.completed_iterations == wanted
    found = fetch(connection, CheckpointRecord, all_of(CheckpointRecord).where(*of_run))
    if not found:
        raise CheckpointNotFound(run_id, list_checkpoints(connection, run_id), wanted)
    return found[0]


def check_digests(connection: Connection, checkpoint: CheckpointRecord) -> None:
    """Raise `CheckpointDamaged` unless all bytes have the digests that were stored with them."""
    parts = {
        "parameters": (checkpoint.parameters, checkpoint.digest),
        "optimizer's values": (checkpoint.optimizer_state, checkpoint.state_digest),
    }
    for part, (content, expected) in parts.items():
        if digest_of(content) != expected:
            run_id, completed = checkpoint.run_id, checkpoint.completed_iterations
            kept = list_checkpoints(connection, run_id)
            raise CheckpointDamaged(run_id, completed, part, kept)


def list_checkpoints(connection: Connection, run_id: str) -> list[int]:
    """Return after how many iterations the run keeps its parameters."""
    kept = select(checkpoints.c.completed_iterations).where(checkpoints.c.run_id == run_id)
    return list(connection.scalars(kept.order_by(checkpoints.c.completed_iterations)))
