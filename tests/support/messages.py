"""Messages for workers, sent without a scheduler."""

from __future__ import annotations

from model.config import NetworkConfig
from model.images import cut
from workers.messages import (
    AnswerHeader,
    MicrobatchMessage,
    ShardMessage,
    Status,
    Wanted,
)

#: An answer that no scheduler waits for.
HEADER = AnswerHeader(
    attempt_id="no-run.1.0.0.1",
    run_id="no-run",
    epoch=1,
    iteration=0,
    shard=0,
    attempt=1,
    parameters_digest="",
    microbatches=(0,),
    status=Status.DONE,
    worker="worker-1",
    fingerprint="abc",
    seconds=0.1,
)


def message(run_id: str, iteration: int, fingerprint: str | None = None) -> ShardMessage:
    """A message that a worker could answer, if it were not stale."""
    network = NetworkConfig()
    [microbatch, *_] = cut(range(8), 8)
    return ShardMessage(
        attempt_id=f"{run_id}.1.{iteration}.99.1",
        run_id=run_id,
        epoch=1,
        iteration=iteration,
        shard=99,
        attempt=1,
        network=network,
        wanted=Wanted.SUMMED,
        parameters_digest="0" * 64,
        chunk_images=256,
        chunks={0: "1" * 64},
        microbatches=(MicrobatchMessage(index=0, images=microbatch.images),),
        fingerprint=fingerprint,
    )
