"""Health for probes and metrics for Prometheus: true, and never healthy when nobody looks."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, create_engine, text
from starlette.testclient import TestClient

from qflow_dagster.infrastructure import (
    circuit_breaker,
    durations,
    error_analysis,
    health_agent,
    services,
)
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.infrastructure.health_agent import CheckResult
from qflow_dagster.web import metrics
from qflow_dagster.web.app import build_app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def away() -> TestClient:
    """The application while its database is away."""
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    return TestClient(
        build_app(engine, host="127.0.0.1"), base_url="http://localhost", raise_server_exceptions=False
    )


def record(engine: Engine, status: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM health_states"))
        for _ in range(2):
            found = CheckResult(status, "d", 50.0, 90.0, "%")  # type: ignore[arg-type]
            health_agent.record(connection, {"disk": {"disk": found}})


@pytest.mark.parametrize(
    ("status", "code"), [("healthy", 200), ("degraded", 200), ("unhealthy", 503), ("unknown", 503)]
)
def test_deep_health_is_the_worst_that_is_believed(
    client: TestClient, engine: Engine, status: str, code: int
) -> None:
    record(engine, status)
    answer = client.get("/health/deep")
    assert (answer.status_code, answer.json()["status"]) == (code, status)
    assert answer.json()["checks"][0]["name"] == "disk"


def test_when_nobody_checks_it_is_not_healthy(client: TestClient, engine: Engine) -> None:
    assert client.get("/health/deep").status_code == 503
    with engine.begin() as connection:
        # The result of the hourly check is still believed.
        health_agent.record(connection, {"history": {"history": CheckResult("healthy", "sound")}})
        connection.execute(text("UPDATE health_states SET at = at - interval '1 hour'"))
    answer = client.get("/health/deep")
    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
    assert "daemon" in answer.json()["message"]


def test_probes_may_ask_by_any_name(client: TestClient) -> None:
    for path in ("/health/live", "/health/ready"):
        assert client.get(path, headers={"Host": "10.1.2.3:3001"}).status_code == 200
    assert client.get("/health/deep", headers={"Host": "10.1.2.3:3001"}).status_code == 421


def test_without_the_database_it_lives_but_is_not_ready(client: TestClient, away: TestClient) -> None:
    assert (client.get("/health/live").status_code, client.get("/health/ready").status_code) == (200, 200)
    assert away.get("/health/live").status_code == 200
    for path in ("/health/ready", "/health/deep", "/approvals"):
        assert away.get(path).status_code == 503
    assert "qflow_up 0.0" in away.get("/metrics").text


def test_a_database_of_another_shape_is_not_ready(client: TestClient, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001_core'"))
    assert client.get("/health/ready").status_code == 503


@pytest.fixture
def filled(client: TestClient, engine: Engine, ask: Callable[..., UUID]) -> TestClient:
    """The application with something of everything that is measured, under names that need escaping."""
    record(engine, "degraded")
    ask()
    with engine.begin() as connection:
        circuit_breaker.hold(connection, 'odd"name\n', "open", actor="a", reason="r")
        track_errors(connection, [Occurrence(operation="pay")] * 3)
        durations.observe(connection, "run", [("check_health", 4.0, 10.0), ("check_health", 70.0, 20.0)])
        # What is passed again, as by two processes, is not counted again.
        durations.observe(connection, "run", [("check_health", 70.0, 20.0), ("check_health", 9_999.0, 30.0)])
    error_analysis.analyze(engine)
    return client


def samples(content: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(content)
        for sample in family.samples
    }


def test_metrics_are_what_prometheus_reads(filled: TestClient) -> None:
    found = samples(filled.get("/metrics").text)
    assert found["qflow_up",] == 1
    assert found["qflow_health_status", "disk"] == 2
    assert found["qflow_health_value_ratio", "disk"] == 0.5
    assert found["qflow_approvals", "pending"] == 1
    assert found["qflow_circuit_breaker_open", 'odd"name<U+000A>'] == 1
    assert found["qflow_errors_total", "Error"] == 3
    assert found["qflow_window_errors", "pay"] == 3
    assert found["qflow_run_duration_seconds_bucket", "5", "check_health"] == 1
    assert found["qflow_run_duration_seconds_bucket", "300", "check_health"] == 2
    assert found["qflow_run_duration_seconds_bucket", "+Inf", "check_health"] == 3
    assert found["qflow_run_duration_seconds_sum", "check_health"] == 10_073


def test_openmetrics_is_served_where_it_is_preferred(filled: TestClient) -> None:
    answer = filled.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    families = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
    assert {"qflow_errors", "qflow_run_duration_seconds", "qflow_health_status"} <= families


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_finds_nothing_to_criticize(filled: TestClient) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=filled.get("/metrics").content,
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_labels_are_bounded(client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_OPERATIONS", 2)
    with engine.begin() as connection:
        track_errors(
            connection, [Occurrence(operation=f"o{n}", kind=f"k{n}", age=60.0 - n) for n in range(5)]
        )
    error_analysis.analyze(engine)
    found = samples(client.get("/metrics").text)
    totals = {key[1]: value for key, value in found.items() if key[0] == "qflow_errors_total"}
    assert totals == {"k0": 1, "k1": 1, "(other)": 3}


def test_a_service_sends_its_heartbeat_to_an_address_of_its_own(client: TestClient, engine: Engine) -> None:
    with engine.begin() as connection:
        token = services.add(connection, "backup", None, heartbeat=60)
    assert client.post(f"/health/heartbeats/{token}").json() == {"status": "ok"}
    assert client.get(f"/health/heartbeats/{token}x").status_code == 404


@pytest.mark.parametrize("file", ["prometheus/qflow.rules.yml", "grafana/qflow.json"])
def test_rules_and_dashboard_use_metrics_that_exist(filled: TestClient, file: str) -> None:
    content = (ROOT / "deploy" / file).read_text()
    if file.endswith("json"):
        content = " ".join(
            target["expr"] for panel in json.loads(content)["panels"] for target in panel["targets"]
        )
    else:
        content = " ".join(rule["expr"] for rule in yaml.safe_load(content)["groups"][0]["rules"])
    declared = set(re.findall(r"^# TYPE (\S+)", filled.get("/metrics").text, re.MULTILINE))
    used = {name.removesuffix("_bucket") for name in re.findall(r"qflow_\w+", content)}
    assert used <= declared
