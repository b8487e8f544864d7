"""Health: real probes, damped, incidents that open and close by themselves, trends, restarts that are allowed."""

import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import (
    breaker_observation,
    health_agent,
    health_checks,
    health_exceptions,
    health_states,
    heartbeats,
    service_probes,
    services,
    watching,
)
from qflow_dagster.infrastructure.health_agent import Check, CheckResult
from qflow_dagster.infrastructure.incidents import STATUSES, DampedState, Status, damp, worst
from qflow_dagster.infrastructure.trends import theil_sen, time_to_threshold
from qflow_dagster.quantumflow import claim, create_workflow, register, send_with_notify
from tests.http_server import local_server, write_certificate

register("test.queue")


def result(status: Status, value: float | None = None) -> CheckResult:
    return CheckResult(status, status, value, 100.0 if value is not None else None)


def record(engine: Engine, **results: CheckResult) -> list[tuple[str, str]]:
    with engine.begin() as connection:
        changes = health_agent.record(connection, {name: {name: found} for name, found in results.items()})
    return [(change["name"], change["to"]) for change in changes]


def believed(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {state["name"]: state["status"] for state in health_states.states(connection)}


def probe(engine: Engine, name: str) -> dict[str, CheckResult]:
    [check] = [check for check in health_checks.checks(engine) if check.name == name]
    return health_agent.probe_all([check])[name]


# Damping


def test_one_bad_result_is_no_change_two_are() -> None:
    state: DampedState | None = None
    seen = []
    for at, found in enumerate(
        ("healthy", "unhealthy", "healthy", "unhealthy", "unhealthy", "healthy", "healthy")
    ):
        state = damp(state, found, float(at), confirmations=2, flapping=6)  # type: ignore[arg-type]
        seen.append(state.status)
    assert seen == ["healthy"] * 4 + ["unhealthy"] * 2 + ["healthy"]


def test_a_first_bad_result_waits_like_any_other() -> None:
    first = damp(None, "degraded", 0.0, confirmations=2, flapping=6)
    assert first.status == "unknown"
    assert damp(first, "degraded", 1.0, confirmations=2, flapping=6).status == "degraded"
    assert damp(first, "healthy", 1.0, confirmations=2, flapping=6).status == "unknown"
    assert damp(None, "healthy", 0.0, confirmations=2, flapping=6).status == "healthy"
    assert damp(None, "degraded", 0.0, confirmations=1, flapping=6).status == "degraded"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_alternates_is_flapping_until_it_is_steady(length: int) -> None:
    """Whatever the length of its phases: one status, the worst, until the results are steady again."""
    state: DampedState | None = None
    for at in range(20):
        found: Status = "unhealthy" if (at // length) % 2 else "healthy"
        state = damp(state, found, at * 60.0, confirmations=2, flapping=6)
    assert state is not None
    assert (state.status, state.flapping) == ("unhealthy", True)
    since = state.since
    for at in range(20, 40):
        found = "unhealthy" if (at // length) % 2 else "healthy"
        state = damp(state, found, at * 60.0, confirmations=2, flapping=6)
        assert (state.status, state.flapping, state.since) == ("unhealthy", True, since)
    for at in range(40, 60):
        state = damp(state, "healthy", at * 60.0, confirmations=2, flapping=6)
    assert (state.status, state.flapping) == ("healthy", False)


@given(
    results=st.lists(st.sampled_from(STATUSES), min_size=1, max_size=60),
    confirmations=st.integers(1, 4),
    flapping=st.integers(2, 8),
)
def test_a_status_is_confirmed_or_the_worst_of_what_flaps(
    results: list[Status], confirmations: int, flapping: int
) -> None:
    state: DampedState | None = None
    for at, found in enumerate(results):
        before = state
        state = damp(state, found, at * 60.0, confirmations=confirmations, flapping=flapping)
        assert state.status in (*results[: at + 1], "unknown")
        if before is not None and state.status != before.status:
            assert state.flapping or set(results[at + 1 - confirmations : at + 1]) == {found}
            assert state.since == at * 60.0
        if state.flapping and before is not None and before.flapping:
            assert STATUSES.index(state.status) >= STATUSES.index(before.status)
    assert state is not None
    if len(results) >= 20 and len(set(results[-20:])) == 1:
        assert state.status == results[-1]


def test_the_worst_counts_and_nothing_is_unknown() -> None:
    assert worst(["healthy", "unknown"]) == "unknown"
    assert worst(["unknown", "degraded", "healthy"]) == "degraded"
    assert worst(["degraded", "unhealthy"]) == "unhealthy"
    assert worst([]) == "unknown"


# Recording


def test_an_incident_opens_worsens_and_closes_by_itself(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    assert record(engine, disk=result("healthy")) == []
    assert record(engine, disk=result("degraded")) == []
    assert record(engine, disk=result("degraded")) == [("disk", "degraded")]
    assert record(engine, disk=result("degraded")) == []
    record(engine, disk=result("unhealthy"))
    assert record(engine, disk=result("unhealthy")) == [("disk", "unhealthy")]
    record(engine, disk=result("healthy"))
    assert record(engine, disk=result("healthy")) == [("disk", "healthy")]
    with engine.connect() as connection:
        [incident] = health_states.incidents(connection)
    assert (incident["status"], incident["check"], incident["worst"]) == ("closed", "disk", "unhealthy")
    assert incident["seconds"] >= 0
    assert [message["to"] for message in sent("health_notifications")] == ["open", "open", "closed"]


def test_a_first_bad_result_opens_no_incident_two_do(engine: Engine) -> None:
    assert record(engine, disk=result("unhealthy")) == []
    assert believed(engine) == {"disk": "unknown"}
    assert record(engine, disk=result("unhealthy")) == [("disk", "unhealthy")]
    record(engine, blip=result("unhealthy"))
    record(engine, blip=result("healthy"))
    assert record(engine, blip=result("healthy")) == [("blip", "healthy")]
    with engine.connect() as connection:
        assert [row["check"] for row in health_states.incidents(connection)] == ["disk"]


def test_each_change_is_one_message_with_its_severity(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    """Also where it alternates: a start and an end, not one message per change."""
    record(engine, disk=result("healthy"))
    for n in range(40):
        record(engine, disk=result("unhealthy" if n % 2 else "healthy"))
    for _ in range(20):
        record(engine, disk=result("healthy"))
    with engine.connect() as connection:
        [incident] = health_states.incidents(connection)
    assert (incident["status"], incident["worst"]) == ("closed", "unhealthy")
    assert incident["message"].startswith("flapping, the worst of its last")
    assert [message["to"] for message in sent("health_notifications")] == ["open", "closed"]


def test_a_value_around_its_limit_is_one_incident(engine: Engine, sent: Callable[[str], list[Any]]) -> None:
    """Worse at once, better only where it is clearly better: not each time that it crosses the limit."""
    values = [80.0, *[91.0, 89.5, 90.2, 91.0, 88.0, 86.0] * 10, 95.5, 96.0, *[94.0, 93.0] * 5, 85.0, 85.0]
    for value in values:
        record(engine, disk=health_agent.threshold_result(value, 90.0, 95.0, f"{value} % full", "%"))
    with engine.connect() as connection:
        [incident] = health_states.incidents(connection)
        samples = connection.scalar(text("SELECT count(*) FROM health_samples WHERE status = 'healthy'"))
    assert (incident["status"], incident["worst"]) == ("closed", "unhealthy")
    assert [message["to"] for message in sent("health_notifications")] == ["open", "open", "closed"]
    assert samples == sum(value <= 90 for value in values)


def test_an_open_incident_that_starts_to_flap_is_no_news(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    for status in ("unhealthy", "unhealthy", *("healthy", "unhealthy") * 20, *("healthy",) * 20):
        record(engine, shop=result(status))  # type: ignore[arg-type]
    assert [message["to"] for message in sent("health_notifications")] == ["open", "closed"]


def test_an_incident_shows_what_was_so_last(engine: Engine) -> None:
    for message in ("slow", "slow", "closed", "closed"):
        status = "degraded" if message == "slow" else "unhealthy"
        record(engine, disk=CheckResult(status, message))
    with engine.connect() as connection:
        assert [row["message"] for row in health_states.incidents(connection)] == ["closed"]


def test_an_item_that_comes_and_goes_is_one_incident(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    for n in range(30):
        found = {} if n % 2 else {"queue_depth:ingestion": result("unhealthy")}
        with engine.begin() as connection:
            health_agent.record(connection, {"queue_depth": found})
    assert believed(engine) == {"queue_depth:ingestion": "unhealthy"}
    assert [message["to"] for message in sent("health_notifications")] == ["open"]


def test_what_is_not_there_any_more_closes_its_incident_and_is_forgotten_after_an_hour(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        for _ in range(2):
            health_agent.record(
                connection, {"service": {"service:a": result("unhealthy"), "service:b": result("healthy")}}
            )
        for _ in range(2):
            health_agent.record(connection, {"service": {"service:b": result("healthy")}})
        assert [row["status"] for row in health_states.incidents(connection)] == ["closed"]
    assert believed(engine) == {"service:a": "healthy", "service:b": "healthy"}
    with engine.begin() as connection:
        connection.execute(text("UPDATE health_states SET since = since - interval '1 hour'"))
        health_agent.record(connection, {"service": {"service:b": result("healthy")}})
    assert believed(engine) == {"service:b": "healthy"}


def test_in_a_maintenance_window_nothing_is_an_incident(engine: Engine) -> None:
    with engine.begin() as connection:
        window = health_exceptions.plan(connection, "service:*", seconds=600, reason="move", actor="ada")
    for _ in range(3):
        record(engine, **{"service:a": result("unhealthy"), "disk": result("unhealthy")})
    with engine.begin() as connection:
        assert [row["check"] for row in health_states.incidents(connection)] == ["disk"]
        [state] = [row for row in health_states.states(connection) if row["name"] == "service:a"]
        assert state["message"] == "in maintenance (move); unhealthy"
        assert health_states.uptimes(connection, ["service:a"]).get("service:a") is None
        health_exceptions.end(connection, window)
        assert health_exceptions.windows(connection) == []
        with pytest.raises(UsageError, match="no maintenance window"):
            health_exceptions.end(connection, window)
        past = datetime(2020, 1, 1, tzinfo=UTC)
        with pytest.raises(UsageError, match="would be over already"):
            health_exceptions.plan(connection, "*", seconds=60, reason="r", actor="ada", starts=past)
    for _ in range(2):
        record(engine, **{"service:a": result("unhealthy")})
    assert believed(engine)["service:a"] == "unhealthy"


def test_what_depends_on_something_that_fails_is_not_reported_beside_it(engine: Engine) -> None:
    with engine.begin() as connection:
        services.add(connection, "db", "http://127.0.0.1:1/")
        services.add(connection, "shop", "http://127.0.0.1:1/", depends_on=["service:db", "database"])
        services.add(connection, "page", "http://127.0.0.1:1/", depends_on=["service:shop"])
        with pytest.raises(UsageError, match="service db would depend on itself"):
            services.add(connection, "db", "http://127.0.0.1:1/", depends_on=["service:page"])
    names = ("service:db", "service:shop", "service:page")
    for _ in range(3):
        record(engine, **{name: result("unhealthy") for name in names})
    with engine.connect() as connection:
        assert [row["check"] for row in health_states.incidents(connection)] == ["service:db"]
    for _ in range(2):
        record(engine, **{"service:db": result("healthy"), "service:shop": result("unhealthy")})
    assert believed(engine)["service:shop"] == "unhealthy"


def test_the_web_process_reports_that_the_checks_stopped_and_the_checks_that_it_did(engine: Engine) -> None:
    def watch() -> list[str]:
        with engine.begin() as connection:
            heartbeats.beat(connection, heartbeats.WEB)
            watching.watch_checks(connection)
            return [row["check"] for row in health_states.incidents(connection, status="open")]

    assert watch() == []
    record(engine, disk=result("healthy"))
    assert watch() == []
    with engine.begin() as connection:
        connection.execute(text("UPDATE health_states SET at = at - interval '4 min'"))
    assert watch() == []
    assert watch() == ["checks"]
    record(engine, disk=result("healthy"))
    watch()
    assert watch() == []

    assert probe(engine, "web")["web"].status == "healthy"
    with engine.begin() as connection:
        connection.execute(text("UPDATE health_heartbeats SET at = at - interval '3 min'"))
    assert probe(engine, "web")["web"].status == "unhealthy"
    with engine.begin() as connection:
        heartbeats.stop(connection, heartbeats.WEB)
    assert probe(engine, "web") == {}


def test_messages_held_back_by_an_open_transaction_are_reported_with_its_process(engine: Engine) -> None:
    assert probe(engine, "held_messages")["held_messages"].status == "healthy"
    with engine.connect() as holder, holder.begin():
        holder.execute(text("SELECT pg_current_xact_id()"))
        with engine.begin() as connection:
            send_with_notify(connection, "workflow_alerts", [{"x": 1}] * 3)
            connection.execute(text("UPDATE messages SET created_at = created_at - interval '1 min'"))
        found = probe(engine, "held_messages")["held_messages"]
    assert found.status == "degraded"
    assert found.message.startswith("3 messages wait, since 6")
    # The oldest transaction of the server, which may be another one's.
    assert re.search(r"\(process \d+.*, open for \d+ s\)", found.message)
    assert probe(engine, "recovery")["recovery"].status == "healthy"


def test_when_a_probe_fails_as_a_whole_all_it_found_before_is_unknown(engine: Engine) -> None:
    with engine.begin() as connection:
        health_agent.record(connection, {"service": {"service:a": result("healthy")}})
        for _ in range(2):
            health_agent.record(connection, {"service": {"service": result("unknown")}})
    assert believed(engine)["service:a"] == "unknown"


def test_a_state_nobody_renews_is_unknown(engine: Engine) -> None:
    record(engine, disk=result("healthy"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE health_states SET at = at - interval '10 min'"))
    assert believed(engine) == {"disk": "unknown"}


def test_a_probe_that_raises_or_hangs_is_unknown_never_healthy() -> None:
    def broken() -> dict[str, CheckResult]:
        raise RuntimeError("password=planted-secret")

    def hanging() -> dict[str, CheckResult]:
        time.sleep(3)
        return {}

    found = health_agent.probe_all([Check("broken", broken), Check("hanging", hanging)], deadline=0.3)
    assert found["broken"]["broken"].status == "unknown"
    assert "planted-secret" not in found["broken"]["broken"].message
    assert found["hanging"]["hanging"] == CheckResult("unknown", "no answer within 0 s")


# Trends


def test_the_slope_is_that_of_the_line_whatever_a_fifth_of_the_samples_say() -> None:
    times = [float(n) for n in range(100)]
    values = [3.0 * n + 7.0 for n in range(100)]
    for n in range(0, 100, 5):
        values[n] = 1e6
    assert theil_sen(times, values) == pytest.approx(3.0)


def test_when_a_threshold_is_reached_and_when_never() -> None:
    times = [0.0, 10.0, 20.0]
    assert time_to_threshold(times, [0, 10, 20], 50) == pytest.approx(30)
    assert time_to_threshold(times, [20, 10, 0], 50) is None
    assert time_to_threshold(times, [0, 0, 60], 50) == 0.0
    assert time_to_threshold([], [], 50) is None
    assert time_to_threshold([5.0, 5.0], [1, 2], 50) is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), max_size=400))
def test_a_slope_lies_between_the_flattest_and_the_steepest(samples: list[tuple[int, float]]) -> None:
    times, values = [float(t) for t, _ in samples], [v for _, v in samples]
    slope = theil_sen(times, values)
    assert (slope is None) == (len(set(times)) < 2) or len(samples) > 300


def test_a_disk_that_fills_is_forecast_from_its_samples(engine: Engine) -> None:
    record(engine, disk=result("healthy", 50.0))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM health_samples"))
        connection.execute(
            text("""
            INSERT INTO health_samples (name, at, status, value)
            SELECT 'disk', statement_timestamp() - make_interval(hours => 50 - n), 'healthy', n
            FROM generate_series(0, 50) AS n
        """)
        )
        assert health_states.forecasts(connection)["disk"] == pytest.approx(50 * 3_600, rel=1e-3)


def test_uptime_leaves_out_the_time_nobody_looked(engine: Engine) -> None:
    with engine.begin() as connection:
        assert health_states.uptimes(connection, ["service:a"]).get("service:a") is None
        connection.execute(
            text("""
            INSERT INTO health_samples (name, at, status)
            SELECT 'service:a', statement_timestamp() - make_interval(mins => 200 - n),
                   CASE WHEN n BETWEEN 20 AND 29 THEN 'unhealthy' WHEN n < 40 THEN 'healthy' ELSE 'unknown' END
            FROM generate_series(0, 60) AS n
        """)
        )
        assert health_states.uptimes(connection, ["service:a"]).get("service:a") == pytest.approx(0.75)


# The checks themselves


def test_the_database_its_shape_disk_and_process_are_really_measured(engine: Engine) -> None:
    assert probe(engine, "database")["database"].value > 0  # type: ignore[operator]
    assert probe(engine, "migrations")["migrations"].status == "healthy"
    assert 0 < probe(engine, "disk")["disk"].value <= 100  # type: ignore[operator]
    assert probe(engine, "process")["process:memory"].value > 10  # type: ignore[operator]
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert probe(away, "database")["database"].status == "unknown"


def test_a_queue_warns_at_75_is_critical_at_100_and_its_age_is_told(engine: Engine) -> None:
    assert probe(engine, "queue_depth") == {}
    for total, status in ((75, "healthy"), (76, "degraded"), (101, "unhealthy")):
        with engine.begin() as connection:
            have = probe(engine, "queue_depth").get("queue_depth:test.queue")
            for _ in range(total - int((have and have.value) or 0)):
                create_workflow(connection, "test.queue", actor="t")
        found = probe(engine, "queue_depth")["queue_depth:test.queue"]
        assert (found.value, found.status) == (total, status)
    with engine.begin() as connection:
        connection.execute(text("UPDATE workflows SET available_at = available_at - interval '20 min'"))
    assert probe(engine, "queue_age")["queue_age"].status == "degraded"


def test_a_lease_nobody_returns_is_seen(engine: Engine) -> None:
    with engine.begin() as connection:
        create_workflow(connection, "test.queue", actor="t")
        claim(connection, "test.queue", worker="w")
    assert probe(engine, "leases")["leases"].status == "healthy"
    with engine.begin() as connection:
        connection.execute(text("UPDATE workflows SET lease_expires_at = now() - interval '5 min'"))
    assert probe(engine, "leases")["leases"].status == "degraded"


def test_a_breaker_open_for_over_a_minute_is_seen(engine: Engine) -> None:
    with engine.begin() as connection:
        breaker_observation.observe(connection, "model", failures=5, successes_before=0)
    assert probe(engine, "circuit_breakers")["circuit_breakers"].status == "healthy"
    with engine.begin() as connection:
        connection.execute(text("UPDATE circuit_breakers SET opened_at = opened_at - interval '61 s'"))
    assert probe(engine, "circuit_breakers")["circuit_breakers"].status == "degraded"


def test_tampered_history_is_unhealthy(engine: Engine) -> None:
    with engine.begin() as connection:
        create_workflow(connection, "test.queue", actor="t")
    assert probe(engine, "history")["history"].status == "healthy"
    with engine.begin() as connection:
        connection.execute(text("UPDATE workflows SET status = 'completed'"))
    assert probe(engine, "history")["history"].status == "unhealthy"


# Services


def test_a_service_is_healthy_slow_wrong_or_away(engine: Engine) -> None:
    with local_server() as server:
        with engine.begin() as connection:
            services.add(connection, "shop", server.url, timeout_ms=1_500)
        assert service_probes.probe_all(engine)["service:shop"].status == "healthy"
        server.delay = 1.8
        assert service_probes.probe_all(engine)["service:shop"].status == "degraded"
        server.delay, server.status = 0.0, 500
        assert service_probes.probe_all(engine)["service:shop"].message == "answered 500, expected 200"
        server.delay = 5.0
        assert service_probes.probe_all(engine)["service:shop"].status == "unhealthy"
    assert service_probes.probe_all(engine)["service:shop"].status == "unhealthy"


def test_services_that_hang_hide_no_other(engine: Engine) -> None:
    with local_server() as server, local_server() as hanging:
        hanging.delay = 6.0
        with engine.begin() as connection:
            for n in range(14):
                services.add(connection, f"hangs{n}", hanging.url, timeout_ms=1_000)
            services.add(connection, "shop", server.url)
        started = time.monotonic()
        found = service_probes.probe_all(engine)
        # One after the other, they would take fourteen.
        assert time.monotonic() - started < 12
    assert found["service:shop"].status == "healthy"
    assert {result.status for name, result in found.items() if "hangs" in name} == {"unhealthy"}


def test_without_time_to_wait_as_long_as_it_may_take_it_is_unknown(engine: Engine) -> None:
    with local_server() as server:
        server.delay = 3.0
        service = {"url": server.url, "timeout_ms": 10_000, "expected_status": 200, "conditions": {}}
        assert service_probes.probe(engine, service, 0.2).status == "unknown"
        assert service_probes.probe(engine, service, 0.0).status == "unknown"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"body": "ok", "json": '$.status == "ok" && $.db.up == true'}, "answered 200"),
        ({"headers": {"Content-Type": "application/json"}}, "answered 200"),
        ({"body": "fine"}, "its body does not contain 'fine'"),
        ({"json": '$.status == "error"'}, 'its body does not match $.status == "error"'),
        ({"json": "$.absent == 1"}, "its body does not match $.absent == 1"),
        ({"headers": {"Content-Type": "text/html"}}, "its header Content-Type does not contain 'text/html'"),
    ],
)
def test_conditions_on_a_response(engine: Engine, conditions: dict[str, Any], message: str) -> None:
    with local_server() as server:
        server.body = b'{"status": "ok", "db": {"up": true}}'
        server.headers = {"Content-Type": "application/json"}
        with engine.begin() as connection:
            services.add(connection, "shop", server.url, conditions=conditions)
        found = service_probes.probe_all(engine)["service:shop"]
    assert found.message.startswith(message)
    assert found.status == ("healthy" if message == "answered 200" else "unhealthy")


def test_a_condition_on_json_that_is_no_path_is_refused(engine: Engine) -> None:
    for path in ("status = ok", "$.status"):
        with engine.begin() as connection, pytest.raises(UsageError, match="is not a condition on JSON"):
            services.add(connection, "shop", "http://127.0.0.1:1/", conditions={"json": path})


def test_a_condition_without_a_text_and_a_dependency_that_is_not_there_are_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        with pytest.raises(UsageError, match="expected NAME=TEXT"):
            services.add(connection, "shop", "http://127.0.0.1:1/", conditions={"headers": {"Server": ""}})
        with pytest.raises(UsageError, match="there is no service:db to depend on"):
            services.add(connection, "shop", "http://127.0.0.1:1/", depends_on=["service:db"])


def test_a_response_that_never_ends_is_none(engine: Engine) -> None:
    with local_server() as server:
        server.headers = {"Content-Length": "100"}
        server.body = b"too short"
        service = {"url": server.url, "timeout_ms": 300, "expected_status": 200, "conditions": {}}
        assert service_probes.probe(engine, service).status == "unhealthy"


def test_a_certificate_that_is_refused_is_named_as_the_reason(tmp_path: Path, engine: Engine) -> None:
    with local_server(certificate=write_certificate(tmp_path / "unknown.pem")) as server:
        service = {"url": server.url, "timeout_ms": 1_000, "expected_status": 200, "conditions": {}}
        found = service_probes.probe(engine, service)
    assert found.message.startswith("no answer: its certificate is refused: self")


def test_a_certificate_that_expires_soon_is_degraded(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path / "both.pem", days=3.04)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with local_server(certificate=certificate) as server:
        service = {"url": server.url, "timeout_ms": 1_000, "expected_status": 200, "conditions": {}}
        found = service_probes.probe(engine, service)
        assert (found.status, found.message) == ("degraded", "its certificate expires in 3.0 days")
        assert (
            service_probes.probe(engine, {**service, "conditions": {"certificate_days": 1}}).status
            == "healthy"
        )


def test_a_service_that_sends_heartbeats(engine: Engine) -> None:
    with engine.begin() as connection:
        token = services.add(connection, "backup", None, heartbeat=3_600)
        assert token is not None
        with pytest.raises(UsageError, match="an address to request, or a period"):
            services.add(connection, "both", "http://127.0.0.1:1/", heartbeat=60)
    # Its first heartbeat is due a period after the registration.
    assert service_probes.probe_all(engine)["service:backup"].status == "healthy"
    with engine.begin() as connection:
        assert services.receive_heartbeat(connection, "x" + token) is None
        assert services.receive_heartbeat(connection, token) == "backup"
    assert service_probes.probe_all(engine)["service:backup"].status == "healthy"
    with engine.begin() as connection:
        connection.execute(text("UPDATE health_services SET beat_at = beat_at - interval '2 hours'"))
    assert service_probes.probe_all(engine)["service:backup"].status == "unhealthy"


@pytest.mark.parametrize(
    ("name", "url"),
    [("a:b", "http://x/"), ("", "http://x/"), ("a", "ftp://x/"), ("a", "http:///x"), ("a", "http://u:p@x/")],
)
def test_a_service_that_makes_no_sense_is_refused(engine: Engine, name: str, url: str) -> None:
    with engine.begin() as connection, pytest.raises(UsageError):
        services.add(connection, name, url)


def test_an_unhealthy_service_is_restarted_as_often_as_allowed_each_recorded(
    engine: Engine, tmp_path: Any
) -> None:
    log = tmp_path / "restarts"
    command = f"{sys.executable} -c \"open('{log}', 'a').write('x')\""
    with engine.begin() as connection:
        services.add(connection, "shop", "http://127.0.0.1:1/", restart_command=command, restart_limit=2)
        services.add(connection, "other", "http://127.0.0.1:1/")
    for _ in range(2):
        with engine.begin() as connection:
            health_agent.record(connection, {"service": service_probes.probe_all(engine)})
    for _ in range(4):
        services.restart_unhealthy(engine, worker="w")
    assert log.read_text() == "xx"
    with engine.connect() as connection:
        recorded = connection.scalars(
            text("SELECT status FROM workflows WHERE type = 'service_restart'")
        ).all()
    assert recorded == ["completed", "completed"]


@pytest.mark.parametrize(
    ("command", "stored"),
    [
        ("systemctl restart shop", ["systemctl", "restart", "shop"]),
        ("sh -c 'stop shop && start shop'", ["sh", "-c", "stop shop && start shop"]),
        ('curl "http://127.0.0.1/?a=1&b=2"', ["curl", "http://127.0.0.1/?a=1&b=2"]),
        ("stop shop && start shop", None),
        ("restart shop > /dev/null", None),
        ("kill $(cat pid)", None),
        ("kill `cat pid`", None),
        ("stop shop;start shop", None),
        ("restart 'shop", None),
    ],
)
def test_a_restart_command_that_needs_a_shell_is_refused(
    engine: Engine, command: str, stored: list[str] | None
) -> None:
    with engine.begin() as connection:
        if stored is None:
            with pytest.raises(UsageError, match=r"give sh -c '|cannot be read"):
                services.add(connection, "shop", "http://127.0.0.1:1/", restart_command=command)
        else:
            services.add(connection, "shop", "http://127.0.0.1:1/", restart_command=command)
            [row] = connection.execute(text("SELECT restart_command FROM health_services")).scalars()
            assert row == stored


def test_a_restart_that_fails_says_so_and_its_breaker_stops_it(engine: Engine) -> None:
    with engine.begin() as connection:
        services.add(connection, "shop", "http://127.0.0.1:1/", restart_command="false", restart_limit=100)
    for _ in range(2):
        with engine.begin() as connection:
            health_agent.record(connection, {"service": service_probes.probe_all(engine)})
    said = [services.restart_unhealthy(engine, worker="w")[0] for _ in range(7)]
    assert "ended with exit code 1" in said[0]
    assert "circuit breaker is open" in said[-1]
