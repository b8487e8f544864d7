"""Sessions, check-ins and client reports that SDKs send beside errors."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.infrastructure import error_analysis, error_records, intake_counts, services
from qflow_dagster.infrastructure.service_probes import probe_all
from qflow_dagster.web import intake
from qflow_dagster.web.intake import Envelope
from qflow_dagster.web.sentry_counts import check_in_from
from tests.web.test_sentry import envelope

ATTRIBUTES = {"release": "shop@1.2.0", "environment": "production"}


def send(client: TestClient, kind: str, *items: dict[str, Any]) -> None:
    response = client.post("/api/1/envelope/", content=envelope(*((kind, item) for item in items)))
    assert response.status_code == 200, response.text


def test_sessions_give_the_share_that_did_not_crash(client: TestClient, engine: Engine) -> None:
    started, crashed = (
        {"sid": "a", "init": True, "status": "ok"},
        {"sid": "a", "status": "crashed", "errors": 1},
    )
    failed = {"sid": "b", "init": True, "status": "exited", "errors": 2}
    send(client, "session", *({**session, "attrs": ATTRIBUTES} for session in (started, crashed, failed)))
    counted = {"started": "2026-11-29T10:00:00Z", "exited": 95, "errored": 2, "crashed": 1}
    send(client, "sessions", {"aggregates": [counted], "attrs": ATTRIBUTES})
    send(client, "session", {"sid": "c", "init": True, "status": "ok"})
    with engine.connect() as connection:
        [release] = intake_counts.releases(connection)
    assert (release["release"], release["environment"]) == ("shop@1.2.0", "production")
    assert (release["sessions"], release["errored"], release["crashed"]) == (100, 3, 2)
    assert release["crash_free"] == pytest.approx(0.98)


def test_events_that_an_sdk_dropped_are_counted(client: TestClient, engine: Engine) -> None:
    dropped = {"reason": "ratelimit_backoff", "category": "error", "quantity": 3}
    for _ in range(2):
        send(client, "client_report", {"discarded_events": [dropped, {"quantity": "many"}, 7]})
    with engine.connect() as connection:
        [row] = intake_counts.discarded(connection)
    assert row == {"category": "error", "reason": "ratelimit_backoff", "quantity": 6}


def test_a_missed_check_in_makes_its_monitor_unhealthy(client: TestClient, engine: Engine) -> None:
    config = {"schedule": {"type": "interval", "value": 1, "unit": "hour"}, "checkin_margin": 2}
    check_in = {"check_in_id": "0" * 32, "monitor_slug": "nightly", "status": "ok"}
    send(client, "check_in", {**check_in, "monitor_config": config}, check_in)
    assert probe_all(engine)["service:nightly"].status == "healthy"
    with engine.begin() as connection:
        connection.execute(text("UPDATE health_services SET beat_at = beat_at - interval '3721 seconds'"))
    assert probe_all(engine)["service:nightly"].status == "unhealthy"
    send(client, "check_in", check_in)
    assert probe_all(engine)["service:nightly"].status == "healthy"


def test_a_check_in_of_a_failed_job_is_an_error(client: TestClient, engine: Engine) -> None:
    send(client, "check_in", {"monitor_slug": "nightly", "status": "error", "environment": "production"})
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        [group] = error_records.find(connection)
    assert (group["operation"], group["message"]) == ("nightly", "the job nightly failed")


def test_a_check_in_changes_no_service_that_a_person_registered(client: TestClient, engine: Engine) -> None:
    with engine.begin() as connection:
        services.add(connection, "bank", "https://bank.example/health")
        services.add(connection, "backup", None, heartbeat=60)
    config = {"schedule": {"type": "interval", "value": 1, "unit": "year"}}
    for name in ("bank", "backup"):
        send(client, "check_in", {"monitor_slug": name, "status": "ok", "monitor_config": config})
    with engine.connect() as connection:
        assert {row["name"]: row["heartbeat"] for row in services.find(connection)} == {
            "bank": None,
            "backup": 60,
        }


@pytest.mark.parametrize(
    ("schedule", "least", "most"),
    [
        ({"type": "interval", "value": 2, "unit": "hour"}, 7_200 + 300, 7_200 + 300),
        ({"type": "crontab", "value": "*/10 * * * *"}, 300, 600 + 600),
        ({"type": "crontab", "value": "0 0 1 1 *"}, 300, 31_536_000),
        ({"type": "crontab", "value": "every day"}, None, None),
        ({"type": "interval", "value": -1, "unit": "hour"}, None, None),
        ({"type": "interval", "value": 1, "unit": "parsec"}, None, None),
        ("hourly", None, None),
    ],
)
def test_the_schedule_of_a_monitor_says_when_the_next_check_in_is_late(
    schedule: Any, least: int | None, most: int | None
) -> None:
    config = {"schedule": schedule, "timezone": "Europe/Berlin"}
    check_in = check_in_from({"monitor_slug": "nightly", "monitor_config": config})
    assert check_in is not None
    if least is None or most is None:
        assert check_in.period is None
    else:
        assert check_in.period is not None
        assert least <= check_in.period <= most


def test_beyond_what_may_wait_senders_are_requested_to_wait(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 0)
    response = client.post("/api/1/envelope/", content=envelope(("event", {"message": "m"})))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "10")
    with pytest.raises(intake.BusyError):
        asyncio.run(intake.Intake(engine).store(Envelope()))
