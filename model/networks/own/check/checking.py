"""The check of users' networks before a run is queued. This process never runs a user's code.

Two processes run each network at the same time, and must give the same bits.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapeworks.model.errors import NetworkError
from tapeworks.model.networks.own.allowed import source_digest
from tapeworks.model.networks.own.check.cases import Case, Found, Speed, name_place
from tapeworks.model.networks.own.check.mistakes import named_lines
from tapeworks.model.networks.own.check.processes import REQUEST, START, Ended, Pair
from tapeworks.model.networks.own.check.reports import DUMP, ERRORS, PRINTED
from tapeworks.model.networks.own.module import module_file
from tapeworks.model.networks.own.spec import Backward, NetworkFacts
from tapeworks.model.parameters import from_bytes, to_bytes

#: Seconds that each part of the check may take: an import, a call, a computation.
STAGE_SECONDS = 120.0

#: Characters of what a file has printed that a sentence shows.
LONGEST_SHOWN = 200

#: Bytes of a process's output that are read, from its end.
LONGEST_READ = 64 * 1024

#: The beginnings of lines that TensorFlow logs.
_LOG = re.compile(r"[IWEF]\d{4} |\d{4}-\d\d-\d\d [^ ]+ [IWEF] |WARNING:|To enable ")


def check_networks(cases: Sequence[Case], stage_seconds: float = STAGE_SECONDS) -> list[Found]:
    """Check each network. Raises `NetworkError`, one sentence, for the first that cannot work."""
    found = []
    with contextlib.closing(examine_networks(cases, stage_seconds)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, NetworkError):
                raise outcome
            found.append(outcome)
    return found


def examine_networks(
    cases: Sequence[Case], stage_seconds: float = STAGE_SECONDS
) -> Generator[Found | NetworkError, None, None]:
    """The finding of each network or its refusal, in their order.

    What differs in its seed alone is checked once; only its parameters are drawn for each.
    """
    studies: dict[Any, list[Case]] = {}
    for case in cases:
        studies.setdefault(_key(case), []).append(case)
    with contextlib.closing(_examine(list(studies.values()), stage_seconds)) as outcomes:
        known: dict[Any, Iterator[Found | NetworkError]] = {}
        for case in cases:
            key = _key(case)
            if key not in known:
                known[key] = iter(next(outcomes))
            yield next(known[key])


def _key(case: Case) -> tuple[Any, ...]:
    options = tuple(sorted((name, repr(value)) for name, value in case.options.items()))
    form = case.is_per_image, case.microbatch_size, case.is_measured
    return case.name, case.source, options, form, id(case.sample)


def _examine(
    studies: list[list[Case]], stage_seconds: float
) -> Generator[list[Found | NetworkError], None, None]:
    """An outcome for each seed of each study; a process that ends is started again for the next."""
    with tempfile.TemporaryDirectory() as directory:
        place, number = Path(directory), 0
        _write(place, studies)
        while number < len(studies):
            with Pair(place, number, stage_seconds) as pair:
                try:
                    while number < len(studies):
                        yield _read(pair, number, studies[number])
                        number += 1
                except Ended as end:
                    case = studies[number][0]
                    error = _explain(end, case, stage_seconds)
                    error.add_note(_read_text(end.place / PRINTED))
            if number < len(studies):
                yield [error] * len(studies[number])
                number += 1


def _write(place: Path, studies: list[list[Case]]) -> None:
    samples: dict[int, int] = {}
    for [case, *_] in studies:
        sample = case.sample
        if id(sample) not in samples:
            samples[id(sample)] = len(samples)
            payload = to_bytes({"images": sample.images, "labels": sample.labels})
            (place / f"sample-{samples[id(sample)]}").write_bytes(payload)
    request = [
        {
            "source": cases[0].source,
            "options": dict(cases[0].options),
            "seeds": [case.seed for case in cases],
            "is_per_image": cases[0].is_per_image,
            "is_measured": cases[0].is_measured,
            "microbatch_size": cases[0].microbatch_size,
            "class_count": cases[0].sample.class_count,
            "sample": samples[id(cases[0].sample)],
        }
        for cases in studies
    ]
    (place / REQUEST).write_text(json.dumps(request))


def _read(pair: Pair, number: int, cases: list[Case]) -> list[Found | NetworkError]:
    answers = pair.answers(number)
    problem = _find_problem(answers, cases[0])
    printed = _read_text(pair.kept / PRINTED)
    if problem is not None:
        problem.add_note(printed)
        return [problem] * len(cases)
    first = answers[0]
    facts = NetworkFacts.model_validate(first["facts"])
    speeds = tuple(
        Speed(**speed | {"backward": speed["backward"] and Backward(speed["backward"])})
        for speed in first["speeds"]
    )
    found: list[Found | NetworkError] = []
    for place in range(len(cases)):
        parameters = from_bytes((pair.kept / f"parameters-{number}-{place}").read_bytes())
        found.append(
            Found(
                facts=facts,
                options=first["options"],
                parameters={name: np.asarray(parameters[name]) for name, _ in facts.arrays},
                speeds=speeds,
                printed=printed,
            )
        )
    return found


def _find_problem(answers: list[dict[str, Any]], case: Case) -> NetworkError | None:
    for answer in answers:
        if "problem" in answer:
            return NetworkError(f"{name_place(case.name, answer['line'])}: {answer['problem']}")
    first, second = answers
    for name, expected in (
        ("drawn", "the same parameters from the same seed"),
        ("facts", "the same arrays and gradients"),
        ("options", "the same options"),
        ("bits", "the same bits of losses and gradients"),
    ):
        if first[name] != second[name]:
            return NetworkError(
                f"{case.name}: Expected {expected} in a second process. Received: others; the file "
                "uses what differs between processes, such as random numbers without a seed, the "
                "order of a set, the time or the process's number."
            )
    return None


def _explain(end: Ended, case: Case, stage_seconds: float) -> NetworkError:
    errors, dump = (_read_text(end.place / name) for name in (ERRORS, DUMP))
    innermost = [*named_lines(dump, module_file(source_digest(case.source))), None][0]
    place = name_place(case.name, innermost)
    if end.stage == START:
        return NetworkError(f"The check of {case.name} cannot start.{_last_of(errors)}")
    if end.code is None or "Timeout" in dump:
        return NetworkError(
            f"{place}: Expected each part of the check within {stage_seconds:g} s. Received: more "
            f"for the {end.stage}."
        )
    return NetworkError(
        f"{place}: Expected the process to live through the {end.stage}. "
        f"Received: {_name_code(end.code)}.{_last_of(errors)}"
    )


def _name_code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = next((one.name for one in signal.Signals if one == -code), str(-code))
    hint = ", as the system sends it when memory is short" if -code == signal.SIGKILL else ""
    return f"signal {name}{hint}"


def _read_text(path: Path) -> str:
    """The end of a file that a process may not have begun, or has filled."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LONGEST_READ, 0))
        return file.read().decode(errors="replace")


def _last_of(text: str) -> str:
    """The last line that is not TensorFlow's own."""
    lines = [line.strip() for line in text.splitlines() if not _LOG.match(line)]
    last = next((line for line in reversed(lines) if line), "")
    return f" It said last: {last[:LONGEST_SHOWN]}" if last else ""
