"""Runs of a user's own network, as far as their data go: nothing runs its code."""

from __future__ import annotations

from typing import Any

from tapeworks.model.config import RunConfig, run_config
from tapeworks.model.networks.own.spec import Backward, NetworkFacts, OwnNetwork
from tapeworks.model.networks.spec import ArrayKind

#: The facts of a network that sees one grey level.
FACTS = {
    "source_digest": "0" * 64,
    "arrays": (("all", (1,)),),
    "input_shape": (1,),
    "input_kind": ArrayKind.BYTES,
    "target_shape": (),
    "target_kind": ArrayKind.BYTES,
    "has_logits": True,
    "backward": Backward.MICROBATCH,
    "operations": 1,
}


def own_network(**facts: Any) -> OwnNetwork:
    """A user's own network with these facts."""
    return OwnNetwork.model_validate(FACTS | facts)


def own_config(dataset: object, **values: Any) -> RunConfig:
    """A run of a user's own network on this data set, not checked yet."""
    return run_config({"network": "own.py", "dataset": str(dataset)} | values)


def checked_config(dataset: object, **facts: Any) -> RunConfig:
    """A run of a user's own network on this data set, with these facts."""
    return own_config(dataset, network_facts=NetworkFacts.model_validate(FACTS | facts))
