"""Spoilt answers before a real gathering: the true one counts, and no other bits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from tapeworks.model.networks.spec import GradientForm
from tapeworks.scheduler.core.standing import Standing
from tapeworks.scheduler.dispatch.contract import Result
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.scheduler.errors import RunFailed
from tapeworks.wire.errors import RedisUnreachable
from tapeworks.wire.exchange import pack_answer, unpack_answer
from tapeworks.wire.keys import answer_key, arrivals_key
from tapeworks.wire.messages import checksum
from tapeworks.wire.signing import Purpose, Signer
from tapeworks.workers import tasks
from tests.faults.fuzzing.mutations import Draw, mutated_bytes, mutated_json, mutated_safetensors
from tests.faults.fuzzing.problem import FINGERPRINT, NETWORK, Bench, Onlooker, at_work, work
from tests.support.entries import argument

#: The parts of an answer, in the order in which they lie in Redis.
FIELDS = ("signature", "header", "arrays")
Fields = dict[str, bytes]

OTHER_KEY = Signer(b"o" * 32)

#: Events that somebody without the key can cause: that there is somebody.
HARMLESS = {"answer_forged", "going_on", "redis_unreachable", "no_workers", "worker_gone"}


def attempt_id(wanted: GradientForm) -> str:
    """Of the first attempt at the one shard."""
    return work(wanted).key(0, 1).id


def joined(fields: Fields) -> bytes:
    """An answer as it lies in Redis."""
    return pack_answer(*(fields[name] for name in FIELDS))


class SchedulerSide:
    """One scheduler; every case is an iteration of its own."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._onlooker = bench, Onlooker()
        bench.link.begin("run", NETWORK, FINGERPRINT, allow_mixed=False)
        bench.link.join(Onlooker())
        self._true = {wanted: self._answered(wanted) for wanted in GradientForm}

    def case(self, draw: Draw) -> None:
        """A spoilt answer, then the true one."""
        wanted = draw(st.sampled_from(list(GradientForm)))
        fields, right = self._true[wanted]
        attempt = attempt_id(wanted)
        arrival, spoilt = self._spoilt(draw, attempt.encode(), fields)
        self._onlooker.told.clear()
        self._bench.link.standing = Standing(fingerprint=FINGERPRINT)
        gathering = self._gathering(wanted)
        try:
            self._arrives(gathering, attempt, arrival, spoilt)
            early = gathering.finished
            if not early:
                self._arrives(gathering, attempt, attempt.encode(), joined(fields))
        except RunFailed:  # the word of somebody who is trusted
            assert not self._bench.signer.key
            self._bench.seen["ended the run"] += 1
            return
        assert gathering.finished, "the true answer counts"
        self._judge(_known(gathering.result()), right)
        # What was learned of the workers' pace cuts the next iteration's shards.
        Gathering(self._bench.link, replace(work(wanted), shards=None), self._onlooker)
        self._bench.seen["counted, being true" if early else "not counted"] += 1

    def _judge(self, counted: list[Any], right: list[Any]) -> None:
        assert counted == right, "what counts has the true bits"
        if self._bench.signer.key:
            assert set(self._onlooker.told) <= HARMLESS, self._onlooker.told
            standing = self._bench.link.standing
            assert not standing.quarantined
            assert not standing._strikes, "nobody is blamed for what others wrote"

    def _gathering(self, wanted: GradientForm) -> Gathering:
        gathering = Gathering(self._bench.link, work(wanted), self._onlooker)
        gathering._is_open = True
        return gathering

    def _arrives(
        self, gathering: Gathering, attempt: str, arrival: bytes, answer: bytes | None
    ) -> None:
        key, arrivals = answer_key(attempt), arrivals_key("run")
        with self._bench.redis.pipeline() as pipe:
            pipe.delete(key, arrivals)
            if isinstance(answer, bytes):
                pipe.set(key, answer)
            else:
                pipe.rpush(key, "no string")
            pipe.rpush(arrivals, arrival)
            pipe.execute()
        try:
            with patch.object(self._bench.link.exchange, "send"):
                gathering.turn()
        except RedisUnreachable:
            self._bench.seen["Redis refused"] += 1

    def _answered(self, wanted: GradientForm) -> tuple[Fields, list[Any]]:
        """A worker's answer as it lies in Redis, and what counts of it."""
        bench, gathering = self._bench, Gathering(self._bench.link, work(wanted), self._onlooker)
        with at_work(bench):
            gathering.turn()
            tasks.serve(argument(bench.last_entry()))
        found: Any = bench.redis.get(answer_key(attempt_id(wanted)))
        fields = dict(zip(FIELDS, unpack_answer(found), strict=True))
        gathering.turn()
        assert gathering.finished
        return fields, _known(gathering.result())

    def _spoilt(self, draw: Draw, arrival: bytes, fields: Fields) -> tuple[bytes, bytes | None]:
        """The arrival and an answer that somebody tampered with; None for one that is no string."""
        fields = dict(fields)
        kinds = ["header", "structure", "structure", "arrays", "signature", "lost", "arrival"]
        kinds += ["whole", "no string"]
        kind = draw(st.sampled_from(kinds + ["lie", "lie"] * bool(self._bench.signer.key)))
        self._bench.seen[f"answer: {kind}"] += 1
        match kind:
            case "arrival":
                arrival = mutated_bytes(draw, arrival, b"run.1.5.0.1")
            case "lost":
                fields |= dict.fromkeys(draw(st.sets(st.sampled_from(FIELDS))), b"")
            case "whole":
                return arrival, mutated_bytes(draw, joined(fields), fields["header"])
            case "no string":
                return arrival, None
            case "lie":
                fields = _lie(draw, fields)
            case _:
                fields |= _changed(draw, kind, fields)
        return arrival, joined(fields)


def _changed(draw: Draw, kind: str, fields: Fields) -> Fields:
    match kind:
        case "header":
            return {"header": mutated_bytes(draw, fields["header"], fields["arrays"])}
        case "structure":
            return {"header": mutated_json(draw, json.loads(fields["header"])).encode()}
        case "arrays":
            return {"arrays": mutated_safetensors(draw, fields["arrays"], fields["header"])}
    return {"signature": mutated_bytes(draw, fields["signature"], b"0" * 64)}


def _lie(draw: Draw, fields: Fields) -> Fields:
    """Other bits of the right form, with everything but the key."""
    end = 8 + int.from_bytes(fields["arrays"][:8], "little")
    spoilt = bytearray(fields["arrays"])
    spoilt[end + draw(st.integers(0, len(spoilt) - end - 1))] ^= 1 << draw(st.integers(0, 7))
    header, arrays = json.loads(fields["header"]), bytes(spoilt)
    header["payload_checksum"] = checksum(arrays)
    status = draw(st.sampled_from(["done", "done", "failed", "refused", "missing", "left"]))
    head = json.dumps(header | {"status": status}).encode()
    signature = draw(st.sampled_from([b"", fields["signature"], b"0" * 64, None]))
    if signature is None:
        signature = OTHER_KEY.signature(Purpose.ANSWER, head, arrays).encode()
    return {"header": head, "arrays": arrays, "signature": signature}


def _known(result: Result) -> list[Any]:
    """All bits that an iteration makes of its result."""
    values = [
        (
            outcome.shard.images.tobytes(),
            outcome.values["losses"].tobytes(),
            outcome.values["gradient_norms"].tobytes(),
            outcome.values["predictions"].tobytes(),
        )
        for outcome in result.outcomes
    ]
    return [values, {name: array.tobytes() for name, array in result.sums.items()}]
