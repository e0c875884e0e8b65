"""Spoilt queue entries, messages, payloads and records before a real worker's task."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st

from tapeworks.model.networks.spec import GradientForm
from tapeworks.model.parameters import digest, from_bytes
from tapeworks.scheduler.dispatch.gathering import Gathering
from tapeworks.wire.chunks import make_chunks
from tapeworks.wire.envelopes import argument
from tapeworks.wire.exchange import unpack_answer
from tapeworks.wire.keys import (
    RUNS_KEY,
    WORKERS_KEY,
    answer_key,
    arrivals_key,
    current_key,
    in_progress_key,
    network_key,
    payload_key,
    worker_key,
)
from tapeworks.wire.messages import AnswerHeader, ShardMessage, Status, WorkerRecord
from tapeworks.wire.signing import Purpose, Signer
from tapeworks.workers import tasks
from tapeworks.workers.compute import shard_arrays
from tapeworks.workers.worker import Payloads
from tests.faults.fuzzing.mutations import Draw, mutated_bytes, mutated_json, mutated_safetensors
from tests.faults.fuzzing.problem import FINGERPRINT, NETWORK, Bench, Onlooker, at_work, work
from tests.support.entries import argument as unchecked
from tests.support.messages import announce

OTHER_KEY = Signer(b"o" * 32)


RECORD = WorkerRecord(name="w", host="h", pid=1, since="2026-01-01", state="idle")


class WorkerSide:
    """One worker, and the entries that its scheduler sent."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        bench.link.begin("run", NETWORK, FINGERPRINT, allow_mixed=False)
        bench.link.join(Onlooker())
        self._entries = [self._sent(wanted) for wanted in GradientForm]
        self._sealed = {unchecked(entry) for entry in self._entries}
        asked = work()
        chunks = make_chunks(asked.data.images, asked.data.labels)
        self._payloads = [asked.parameters, *chunks.payloads]

    def case(self, draw: Draw) -> None:
        """One spoilt thing."""
        kinds = [self._entry, self._entry, self._message, self._message, self._payload]
        draw(st.sampled_from([*kinds, self._records]))(draw)

    def _entry(self, draw: Draw) -> None:
        """As it lies in the queue, its envelope included."""
        entry = draw(st.sampled_from(self._entries))
        envelope = json.loads(entry)
        kind = draw(st.sampled_from(["bytes", "envelope", "envelope", "body", "body bytes"]))
        body = base64.b64decode(envelope["body"])
        match kind:
            case "bytes":
                entry = mutated_bytes(draw, entry, body)
            case "envelope":
                entry = mutated_json(draw, envelope).encode()
            case "body":
                text = mutated_json(draw, json.loads(body)).encode()
                entry = json.dumps(envelope | {"body": base64.b64encode(text).decode()}).encode()
            case "body bytes":
                text = mutated_bytes(draw, body, entry)
                entry = json.dumps(envelope | {"body": base64.b64encode(text).decode()}).encode()
        self._count(f"entry: {kind}")
        checked = argument(entry)
        if checked is None:
            self._count("entries dropped")
            return
        envelope = json.loads(entry)
        for part in ("headers", "properties"):
            assert set(envelope[part]) == set(json.loads(self._entries[0])[part])
        assert unchecked(entry) == checked, "Celery reads the same"
        self._computed(checked)

    def _message(self, draw: Draw) -> None:
        """As the task gets it: signed, unsigned, or signed by somebody else."""
        sealed = unchecked(draw(st.sampled_from(self._entries)))
        text = self._bench.signer.unseal(Purpose.MESSAGE, sealed)
        kind = draw(st.sampled_from(["bytes", "structure", "structure", "sealed"]))
        match kind:
            case "bytes":
                text = mutated_bytes(draw, text.encode()).decode(errors="replace")
            case "structure":
                text = mutated_json(draw, json.loads(text))
            case "sealed":
                spoilt = mutated_bytes(draw, sealed.encode(), text.encode())
                self._count("message: sealed")
                return self._computed(spoilt.decode(errors="surrogateescape"))
        self._count(f"message: {kind}")
        before = sealed.removesuffix(self._bench.signer.unseal(Purpose.MESSAGE, sealed))
        other_purpose = self._bench.signer.seal(Purpose.NETWORK, text)
        seals = [text, before + text, OTHER_KEY.seal(Purpose.MESSAGE, text), other_purpose]
        return self._computed(draw(st.sampled_from(seals)))

    def _payload(self, draw: Draw) -> None:
        """Under the right name, where it is missing then; or asked for by its own."""
        place = draw(st.integers(0, len(self._payloads) - 1))
        payload = self._payloads[place]
        spoilt = mutated_safetensors(draw, payload, self._payloads[place - 1])
        sealed = unchecked(draw(st.sampled_from(self._entries)))
        name = digest(payload)
        if draw(st.booleans()):
            text = self._bench.signer.unseal(Purpose.MESSAGE, sealed)
            text = text.replace(name, digest(spoilt))
            sealed, name = self._bench.signer.seal(Purpose.MESSAGE, text), digest(spoilt)
            self._sealed.add(sealed)
        self._count("payload")
        self._bench.redis.set(payload_key(name), spoilt)
        try:
            self._computed(sealed)
        finally:
            self._sealed = {unchecked(entry) for entry in self._entries}
            self._bench.redis.delete(payload_key(name))
            self._bench.exchange.publish(payload, 3600)

    def _records(self, draw: Draw) -> None:
        """Damage the records that processes show of themselves and of runs, and have them read."""
        redis, exchange = self._bench.redis, self._bench.exchange
        values = {
            network_key("run"): NETWORK.model_dump_json(),
            worker_key("w"): RECORD.model_dump_json(),
            current_key("run"): "2:5",
        }
        for key, value in values.items():
            if draw(st.booleans()):
                redis.set(key, mutated_bytes(draw, value.encode()))
            elif value.startswith("{"):
                redis.set(key, mutated_json(draw, json.loads(value)))
        redis.sadd(WORKERS_KEY, "w")
        redis.sadd(RUNS_KEY, draw(st.binary(max_size=600)))
        redis.sadd(WORKERS_KEY, draw(st.binary(max_size=600)))
        redis.set(in_progress_key("run"), draw(st.binary(max_size=100)))
        self._count("records")
        for network in exchange.networks():
            assert network.fits
            assert not self._bench.signer.key or network == NETWORK
        exchange.workers()
        exchange.list_quarantined()
        self._bench.link._look("run")
        self._computed(unchecked(self._entries[0]))
        redis.delete(RUNS_KEY, WORKERS_KEY, *values)
        exchange.announce_run("run", NETWORK)
        announce(exchange, "run", 2, 5)

    def _computed(self, sealed: str) -> None:
        """Let the task have it; an answer is one to what was validly asked."""
        self._bench.worker.payloads = Payloads(self._bench.exchange)
        with at_work(self._bench):
            tasks.serve(sealed)
        answers: Any = self._bench.redis.keys(answer_key("*"))
        found: list[Any] = [self._bench.redis.get(key) for key in answers]
        arrivals: Any = self._bench.redis.keys(arrivals_key("*"))
        self._bench.redis.delete(b"none", *answers, *arrivals)
        if not found:
            self._count("messages refused")
        for answer in found:
            self._judge(sealed, answer)

    def _judge(self, sealed: str, answer: bytes) -> None:
        signer = self._bench.signer
        if signer.key:
            assert sealed in self._sealed, "what nobody signed is not answered"
        message = ShardMessage.model_validate_json(signer.unseal(Purpose.MESSAGE, sealed))
        _, head, arrays = unpack_answer(answer)
        header = AnswerHeader.model_validate_json(head)
        assert header.key == message.key
        self._count(f"answered: {header.status.value}")
        if header.status is Status.DONE:
            again = shard_arrays(message, Payloads(self._bench.exchange).fetch)
            assert arrays == again, "done is what the message asks for"
            assert set(from_bytes(again)) >= {"losses", "gradient_norms", "predictions"}

    def _sent(self, wanted: GradientForm) -> bytes:
        gathering = Gathering(self._bench.link, work(wanted), Onlooker())
        with at_work(self._bench):
            gathering.turn()
        return self._bench.last_entry()

    def _count(self, what: str) -> None:
        self._bench.seen[what] += 1
