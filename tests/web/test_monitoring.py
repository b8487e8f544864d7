"""Health for probes and metrics for Prometheus: true, and never healthy when nobody looks."""

from collections.abc import Callable
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, create_engine, text
from starlette.testclient import TestClient

from qflow_dagster.infrastructure import circuit_breaker, health_agent
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.infrastructure.health_agent import CheckResult
from qflow_dagster.web.app import build_app


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
        health_agent.record(connection, {"disk": {"disk": CheckResult(status, "d", 50.0, 90.0, "%")}})  # type: ignore[arg-type]


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


def test_metrics_are_what_prometheus_reads(
    client: TestClient, engine: Engine, ask: Callable[..., UUID]
) -> None:
    record(engine, "degraded")
    ask()
    with engine.begin() as connection:
        circuit_breaker.open_by_hand(connection, 'odd"name\n', actor="a", reason="r")
        track_errors(connection, [Occurrence(operation="pay")] * 3)
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert found["qflow_up",] == 1
    assert found["qflow_health", "disk"] == 2
    assert found["qflow_health_value", "%", "disk"] == 50
    assert found["qflow_approvals", "pending"] == 1
    assert found["qflow_circuit_breaker_open", 'odd"name<U+000A>'] == 1
    assert found["qflow_errors", "pay"] == 3
