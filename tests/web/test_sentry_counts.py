"""Sessions, check-ins and client reports that SDKs send beside errors."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
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


def session(status: str, /, sid: str = "a", hours: float = 1, **more: Any) -> dict[str, Any]:
    """Return an update of a session that began so many hours ago."""
    started = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    return {"sid": sid, "status": status, "started": started, "attrs": ATTRIBUTES, **more}


STARTED, OK = session("ok", init=True, seq=0), session("ok", errors=0, seq=1)
FAILED, EXITED = session("ok", errors=1, seq=2), session("exited", errors=0, seq=3)
CRASHED = session("crashed", errors=1, seq=4)


@pytest.mark.parametrize(
    ("updates", "counts"),
    [
        pytest.param([STARTED], (1, 0, 0), id="a session that goes on"),
        pytest.param([STARTED, STARTED, OK, EXITED, EXITED], (1, 0, 0), id="each update twice"),
        pytest.param([EXITED], (1, 0, 0), id="the beginning was lost"),
        pytest.param([STARTED, FAILED, FAILED, session("exited", errors=1)], (1, 1, 0), id="an error"),
        pytest.param([STARTED, FAILED, CRASHED, CRASHED], (1, 0, 1), id="an error, then a crash"),
        pytest.param([CRASHED, FAILED, STARTED], (1, 0, 1), id="in the wrong order"),
        pytest.param([STARTED, session("abnormal")], (1, 1, 0), id="killed without a crash"),
        pytest.param([session("unhandled", errors=2)], (1, 1, 0), id="unhandled, and it went on"),
        pytest.param([STARTED, session("crashed", sid="b")], (2, 0, 1), id="two sessions"),
        pytest.param([session("ok", hours=24 * 6, init=True)], None, id="an update after days"),
    ],
)
def test_a_session_counts_once_however_often_it_is_updated(
    client: TestClient, engine: Engine, updates: list[dict[str, Any]], counts: tuple[int, int, int] | None
) -> None:
    def counted() -> tuple[int, int, int] | None:
        with engine.connect() as connection:
            found = intake_counts.releases(connection)
        return (found[0]["sessions"], found[0]["errored"], found[0]["crashed"]) if found else None

    for update in updates:
        send(client, "session", update)
    assert counted() == counts
    # All in one envelope, sent again.
    send(client, "session", *updates)
    assert counted() == counts


def test_sessions_count_on_the_day_they_began_and_their_states_are_dropped(
    client: TestClient, engine: Engine
) -> None:
    send(client, "session", session("ok", hours=72, init=True), session("ok", sid="b", hours=72, init=True))
    # At the next start, the program reports how the session ended.
    send(client, "session", session("crashed", hours=72))
    with engine.begin() as connection:
        rows = connection.execute(
            text("SELECT current_date - day, total, crashed FROM release_sessions")
        ).all()
        assert [tuple(row) for row in rows] == [(3, 2, 1)]
        assert intake_counts.prune_sessions(connection) == 0
        connection.execute(text("UPDATE session_states SET day = day - 4"))
        assert intake_counts.prune_sessions(connection) == 2


def test_counts_of_sessions_that_are_sent_again_count_once(client: TestClient, engine: Engine) -> None:
    item = {
        "aggregates": [{"started": "2026-11-29T10:00:00Z", "exited": 4, "crashed": 1}],
        "attrs": ATTRIBUTES,
    }
    for sent_at in ("2026-11-29T10:01:00.123Z", "2026-11-29T10:01:00.123Z", "2026-11-29T10:02:00.456Z"):
        header, _, items = envelope(("sessions", item)).partition(b"\n")
        body = json.dumps({**json.loads(header), "sent_at": sent_at}).encode() + b"\n" + items
        assert client.post("/api/1/envelope/", content=body).status_code == 200
    with engine.connect() as connection:
        [release] = intake_counts.releases(connection)
    assert (release["sessions"], release["crashed"], release["crash_free"]) == (10, 2, 0.8)


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
    check_in = {"check_in_id": "6d55218195564d6d88cf3883b84666f1", "monitor_slug": "nightly"}
    for _ in range(2):
        send(client, "check_in", {**check_in, "status": "error", "environment": "production"})
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        [group] = error_records.find(connection)
    assert (group["operation"], group["message"]) == ("nightly", "the job nightly failed")
    assert group["count"] == 1


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
