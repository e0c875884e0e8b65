"""Metrics that scheduler and worker serve to Prometheus, on the dashboard and in alerts."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest
import yaml

from tapeworks.errors import ExitCode
from tapeworks.scheduler.core.decisions import Reason
from tests.support.calls import Call
from tests.support.observed import Observed, Samples, value
from tests.support.processes import ROOT

pytestmark = pytest.mark.slow

MONITORING = ROOT / "docs" / "monitoring.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "tapeworks.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"

#: A row of the table of metrics: its name, its labels, who serves it.
ROW = re.compile(r"^\| `(tapeworks_\w+)` \|([^|]*)\|([^|]*)\|", re.MULTILINE)

#: A metric with its selector, as it stands in PromQL, and one label of a selector.
SELECTED = re.compile(r"\b(tapeworks_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')

#: Labels that Prometheus adds.
ADDED = {"instance", "job"}


def served(seen: Observed, *moments: str) -> dict[str, set[str]]:
    """The labels of every metric that was served at these moments, by its name in the table."""
    found: dict[str, set[str]] = {}
    for moment in moments or tuple(seen.scrapes):
        for name, labels in seen.samples(moment):
            names = {key for key, _ in labels}
            found.setdefault(base_of(name), set()).update(names - {"le"})
    return found


def expressions() -> Iterator[str]:
    """Every PromQL expression of dashboard and alerts."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


def test_the_numbers_agree_with_the_history(observed: Observed) -> None:
    found = observed.samples("paused")
    assert observed.iterations > 3
    assert value(found, "tapeworks_iteration_seconds_count") == observed.iterations
    assert value(found, "tapeworks_images_total") == observed.images
    sent = value(found, "tapeworks_attempts_sent_total", work="iteration")
    assert 0 <= sent - observed.attempts <= 4  # the next iteration's may be out, two a worker
    assert value(found, "tapeworks_attempts_sent_total", work="evaluation") == 0
    assert value(found, "tapeworks_runs", status="paused") == 1
    assert value(found, "tapeworks_shards_outstanding") == 0


def test_every_attempt_after_a_shards_first_has_a_reason(observed: Observed) -> None:
    found = observed.samples("paused")
    again = {
        reason: value(found, "tapeworks_attempts_sent_again_total", reason=reason.name.lower())
        for reason in Reason
        if reason is not Reason.FIRST
    }
    assert sum(again.values()) == observed.attempts - 4 * observed.iterations
    told = sum(times for reason, times in again.items() if reason.is_told)
    assert told == observed.sent_again > 0
    assert value(found, "tapeworks_notices_total", kind="sent_again") == told


def test_answers_are_counted_or_dropped(observed: Observed) -> None:
    found = observed.samples("paused")
    counted = value(found, "tapeworks_answers_total", verdict="valid")
    late = value(found, "tapeworks_answers_total", verdict="late")
    assert counted == 4 * observed.iterations
    assert counted + late <= observed.attempts


def test_the_endpoint_answers_while_the_run_stands_still(observed: Observed) -> None:
    found = observed.samples("no worker")
    assert value(found, "tapeworks_runs_in_hand") == 1
    assert value(found, "tapeworks_redis_up") == 1
    assert value(found, "tapeworks_lease_left_seconds") > 0
    assert value(found, "tapeworks_workers", state="idle") == 0


@pytest.mark.parametrize("moment", ["wrong password", "redis away"])
def test_without_redis_its_series_are_absent_and_the_others_are_there(
    observed: Observed, moment: str
) -> None:
    found = observed.samples(moment)
    assert value(found, "tapeworks_waiting", **{"for": "redis"}) == 1
    assert value(found, "tapeworks_redis_up") == 0
    assert absent(found, "tapeworks_queue_messages", "tapeworks_workers")
    assert value(found, "tapeworks_database_up") == 1


def test_without_the_database_its_series_are_absent_and_the_others_are_there(
    observed: Observed,
) -> None:
    found = observed.samples("database away")
    assert value(found, "tapeworks_database_up") == 0
    assert absent(found, "tapeworks_runs")
    assert value(found, "tapeworks_redis_up") == 1


def absent(found: Samples, *names: str) -> bool:
    return not {name for name, _ in found} & set(names)


def test_a_worker_command_tells_of_its_processes(observed: Observed) -> None:
    found = observed.samples("worker")
    assert value(found, "tapeworks_worker_processes_wanted") == 1
    assert value(found, "tapeworks_worker_restarts_total") == 0
    assert value(found, "tapeworks_worker_images_total", process="0") > 0
    assert value(found, "tapeworks_worker_busy_seconds_total", process="0") > 0
    assert value(found, "tapeworks_worker_memory_bytes", process="0") > 1e8
    restarted = observed.samples("worker restarted")
    assert value(restarted, "tapeworks_worker_processes_alive") == 1
    assert value(restarted, "tapeworks_worker_early_deaths_total") == 0


def test_every_metric_is_documented_with_its_labels_and_every_documented_one_is_served(
    observed: Observed,
) -> None:
    by_command = {
        "scheduler": served(observed, *(m for m in observed.scrapes if "worker" not in m)),
        "worker": served(observed, "worker"),
    }
    by_command["scheduler"] |= served(observed, "no worker")
    documented = {
        (command.strip(), name): set(re.findall(r"`(\w+)`", labels))
        for name, labels, commands in ROW.findall(MONITORING.read_text())
        for command in commands.split(",")
    }
    assert documented == {
        (command, name): labels
        for command, metrics in by_command.items()
        for name, labels in metrics.items()
    }


def test_dashboard_and_alerts_ask_for_what_is_served(observed: Observed) -> None:
    known, asked = served(observed) | {"up": set()}, 0
    for expression in expressions():
        may_have = set(ADDED | {"le"})
        for name, selector in SELECTED.findall(expression):
            base, asked = base_of(name), asked + 1
            assert base in known, expression
            may_have |= known[base]
            for label, operator, wanted in MATCHER.findall(selector):
                assert label in known[base] | ADDED, expression
                values = set(wanted.split("|")) if label not in ADDED else set()
                assert values <= all_values(observed, base, label), (expression, operator)
        grouped = re.findall(r"\bby \(([^)]*)\)", expression)
        labels = {label.strip() for group in grouped for label in group.split(",")}
        assert labels <= may_have, expression
    assert asked > 40


def base_of(name: str) -> str:
    """The metric whose samples, of a histogram, have this name."""
    return re.sub(r"^(tapeworks_iteration_seconds)_\w+$", r"\1", name)


def all_values(seen: Observed, name: str, label: str) -> set[str]:
    return {
        text
        for moment in seen.scrapes
        for found, labels in seen.samples(moment)
        for key, text in labels
        if found == name and key == label
    }


def test_the_panels_of_the_dashboard_fill_their_rows_and_overlap_nowhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    height = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(height)}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_prometheus_reads_the_alerts_and_scrapes_the_jobs_that_they_name() -> None:
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    assert configuration["rule_files"] == [ALERTS.name]
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    assert jobs == {"tapeworks-scheduler", "tapeworks-worker"}
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    text = MONITORING.read_text()
    assert [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in text] == []


@pytest.mark.parametrize("command", ["scheduler", "worker"])
def test_a_port_that_is_taken_is_told_before_anything_starts(command: str, call: Call) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        called = call(f"{command} --metrics-port {port}")
    assert called.code == ExitCode.WRONG_USAGE
    assert called.err == (
        f"tapeworks: Metrics cannot be served at 127.0.0.1 port {port}: Address already in use. "
        "Name another place with --metrics-port and --metrics-host.\n"
    )


def test_a_host_that_does_not_exist_is_told(call: Call) -> None:
    called = call("worker --metrics-port 9 --metrics-host no.such.host.invalid")
    assert called.code == ExitCode.WRONG_USAGE
    assert "no.such.host.invalid port 9" in called.last_words
