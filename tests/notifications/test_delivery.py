"""Notifications: every message to every endpoint that wants it, at least once, signed, without secrets."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, text

from qflow_dagster.database import engine_for
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.notifications import delivery, endpoints, sealing
from qflow_dagster.notifications.delivery import Note, signature
from qflow_dagster.quantumflow import find, reclaim_expired, register, send_with_notify
from qflow_dagster.settings import settings
from tests import forks
from tests.http_server import LocalServer, local_server

register("test.titled", queue="titled")
QUEUE = "test_notifications"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings(), "home", tmp_path)
    return tmp_path


@pytest.fixture
def webhook() -> Iterator[LocalServer]:
    with local_server() as server:
        yield server


def add(engine: Engine, name: str, address: str, queue: str = QUEUE, **options: Any) -> None:
    with engine.begin() as connection:
        endpoints.add(connection, name, queue, address, **options)


def send(engine: Engine, *payloads: Any, queue: str = QUEUE) -> None:
    with engine.begin() as connection:
        send_with_notify(connection, queue, payloads)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def deliver_all(engine: Engine) -> int:
    """Distribute and deliver until the message is through: others' transactions hold messages back."""
    delivered = 0
    for _ in range(100):
        with engine.begin() as connection:
            delivery.distribute(connection)
        delivered += delivery.deliver(engine, worker="test")
        with engine.connect() as connection:
            waiting = connection.scalar(
                text(
                    "SELECT count(*) FROM messages m JOIN subscriptions s USING (queue) WHERE (m.xact, m.id) > (s.xact, s.id)"
                )
            )
        if not waiting:
            return delivered
        time.sleep(0.05)
    raise AssertionError("messages were held back for too long")


def test_a_message_reaches_its_endpoint_signed(engine: Engine, webhook: LocalServer) -> None:
    add(engine, "ops", f"{webhook.url}/hook", signing_key="shared-secret")
    send(engine, {"event": "high_error_rate", "operation": "pay", "rate": 0.5})
    assert deliver_all(engine) == 1
    [got] = webhook.received
    note = json.loads(got.body)
    assert (got.path, note["title"], note["queue"]) == ("/hook", "high error rate: pay", QUEUE)
    assert note["data"]["rate"] == 0.5
    timestamp = got.headers["X-Qflow-Timestamp"]
    assert abs(int(timestamp) - time.time()) < 60
    assert got.headers["X-Qflow-Signature"] == signature("shared-secret", timestamp, got.body)
    assert got.headers["X-Qflow-Signature"] != signature("other", timestamp, got.body)


@pytest.mark.parametrize(
    "path", ["/hooks/abcdefghijklmnopqrstuvwxyz", f"/hooks/{'61f0a1b2' * 3}/{'AbCdEfGh' * 6}"]
)
def test_a_chat_service_gets_its_own_form(engine: Engine, webhook: LocalServer, path: str) -> None:
    """Mattermost and Rocket.Chat, at addresses of their own."""
    add(engine, "chat", webhook.url + path)
    send(engine, {"event": "high_error_rate", "operation": "pay", "errors": 5, "total": 10, "window": 60})
    assert deliver_all(engine) == 1
    [got] = webhook.received
    assert got.path == path
    assert "5 of 10 calls failed within 60 s" in json.loads(got.body)["text"]


def test_only_what_passes_the_filters_and_only_what_is_sent_later(
    engine: Engine, webhook: LocalServer
) -> None:
    send(engine, {"to": "approved", "n": 0})
    # What is sent while an older transaction is open (another test's) counts as sent later.
    settled = text(
        "SELECT bool_and(xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint) FROM messages"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until(lambda: bool(connection.scalar(settled)))
    add(engine, "a", webhook.url, filters={"to": ["approved", "denied"]})
    add(engine, "b", f"{webhook.url}/b")
    send(engine, {"to": "approved", "n": 1}, {"to": "pending", "n": 2}, {"n": 3})
    deliver_all(engine)
    got = sorted((request.path, json.loads(request.body)["data"].get("n")) for request in webhook.received)
    assert got == [("/", 1), ("/b", 1), ("/b", 2), ("/b", 3)]


def test_an_endpoint_that_refuses_is_tried_again_then_dead_and_kept(
    engine: Engine, webhook: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 10)
    add(engine, "ops", webhook.url)
    webhook.status = 500
    send(engine, {"n": 1})
    deliver_all(engine)
    for _ in range(delivery.MAX_ATTEMPTS):
        with engine.begin() as connection:
            connection.execute(text("UPDATE workflows SET available_at = now() WHERE type = 'notification'"))
            connection.execute(text("UPDATE circuit_breakers SET probe_at = now()"))
        delivery.deliver(engine, worker="test")
    with engine.connect() as connection:
        [job] = find(connection, type_name="notification")
    assert (job.status, job.attempt) == ("dead", delivery.MAX_ATTEMPTS)
    assert "the webhook answered 500" in str(job.error) or "circuit breaker" in str(job.error)


def test_after_five_failures_the_breaker_spares_an_endpoint_that_is_down(
    engine: Engine, webhook: LocalServer
) -> None:
    add(engine, "ops", webhook.url)
    webhook.status = 503
    send(engine, *({"n": n} for n in range(40)))
    deliver_all(engine)
    assert 5 <= len(webhook.received) < 5 + delivery.AT_ONCE


def test_a_dead_notification_is_not_notified_about(engine: Engine, webhook: LocalServer) -> None:
    add(engine, "alerts", webhook.url, queue="workflow_alerts")
    send(
        engine,
        {"type": "notification", "to": "dead"},
        {"type": "index_page", "to": "dead"},
        queue="workflow_alerts",
    )
    deliver_all(engine)
    assert [json.loads(request.body)["data"]["type"] for request in webhook.received] == ["index_page"]


def test_what_was_for_a_removed_endpoint_is_let_go(engine: Engine, webhook: LocalServer) -> None:
    add(engine, "ops", webhook.url)
    send(engine, {"n": 1})
    until(lambda: _distribute(engine) == 1)
    with engine.begin() as connection:
        endpoints.remove(connection, "ops")
    delivery.deliver(engine, worker="test")
    with engine.connect() as connection:
        assert [job.status for job in find(connection, type_name="notification")] == ["completed"]
    assert webhook.received == []


def _distribute(engine: Engine) -> int:
    with engine.begin() as connection:
        return delivery.distribute(connection)


def test_a_redirect_is_not_followed(engine: Engine, webhook: LocalServer) -> None:
    webhook.status = 302
    with engine.begin() as connection:
        endpoints.add(connection, "ops", QUEUE, webhook.url)
        [endpoint] = endpoints.find(connection, name="ops")
    with pytest.raises(QflowError, match="answered 302"):
        delivery.send(endpoint, Note("1", QUEUE, "t", "b", {}))
    assert len(webhook.received) == 1


def test_the_worker_delivers_within_a_moment_and_survives_a_lost_connection(
    engine: Engine, webhook: LocalServer
) -> None:
    add(engine, "ops", webhook.url)
    stop = threading.Event()
    worker = threading.Thread(target=delivery.work, args=(engine, stop), kwargs={"worker": "w"})
    worker.start()
    try:
        send(engine, {"n": 1})
        until(lambda: len(webhook.received) == 1)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        send(engine, {"n": 2})
        until(lambda: len(webhook.received) == 2)
    finally:
        stop.set()
        worker.join(30)
    assert not worker.is_alive()


def deliver_for_ever(database: URL) -> None:
    delivery.work(engine_for(database), threading.Event(), worker="w")


def test_killed_at_any_moment_the_worker_loses_nothing(
    engine: Engine, database: URL, webhook: LocalServer, home: Path
) -> None:
    """At least once: some may come twice, under the same id, none may be missing."""
    add(engine, "ops", webhook.url)
    total = 60
    for start in range(0, total, 15):
        worker = forks.start(deliver_for_ever, database, environment={"QFLOW_HOME": str(home)})
        send(engine, *({"n": n} for n in range(start, start + 15)))
        seen = len(webhook.received)
        until(lambda seen=seen: len(webhook.received) > seen)
        worker.kill()
        worker.join()
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE workflows SET lease_expires_at = now() WHERE lease_expires_at IS NOT NULL")
            )

    def got() -> set[int]:
        with engine.begin() as connection:
            reclaim_expired(connection)
        deliver_all(engine)
        return {json.loads(request.body)["data"]["n"] for request in webhook.received}

    until(lambda: got() == set(range(total)))
    ids: dict[int, set[str]] = {}
    for request in webhook.received:
        body = json.loads(request.body)
        ids.setdefault(body["data"]["n"], set()).add(body["id"])
    assert all(len(found) == 1 for found in ids.values())


# Secrets


def test_addresses_and_keys_are_kept_encrypted_and_never_shown(engine: Engine) -> None:
    add(engine, "slack", "slack://TokenAAAAAAAA/TokenBBBBBBBB/TokenCCCCCCCCCCCCCCCC")
    add(engine, "hook", "https://example.org/planted-path?key=planted", signing_key="planted-key")
    with engine.connect() as connection:
        stored = "".join(
            connection.scalars(text("SELECT notification_endpoints::text FROM notification_endpoints"))
        )
        shown = json.dumps([endpoints.masked(endpoint) for endpoint in endpoints.find(connection)])
    for words in (stored, shown):
        assert "planted" not in words
        assert "TokenAAAAAAAA" not in words
    assert '"slack://..."' in shown


def test_a_failure_does_not_name_the_address(engine: Engine) -> None:
    add(engine, "ops", "http://127.0.0.1:1/planted-secret-path")
    send(engine, {"n": 1})
    deliver_all(engine)
    with engine.connect() as connection:
        for table in ("workflows", "error_occurrences", "workflow_events", "messages"):
            assert "planted-secret-path" not in "".join(
                connection.scalars(text(f"SELECT {table}::text FROM {table}"))
            )
        [job] = find(connection, type_name="notification")
    assert job.error["message"] == "the webhook cannot be reached: ConnectionError"


def test_secrets_in_a_message_do_not_leave(engine: Engine, webhook: LocalServer) -> None:
    add(engine, "ops", webhook.url)
    send(
        engine,
        {
            "operation": "login",
            "message": "password=planted-one",
            "api_key": "planted-two",
            "deep": [{"token": "planted-three"}],
        },
    )
    deliver_all(engine)
    assert b"planted" not in webhook.received[0].body


def test_with_another_key_nothing_is_read_and_the_error_says_what_to_do(home: Path) -> None:
    sealed = sealing.seal("secret")
    assert sealing.unseal(sealed) == "secret"
    assert oct((home / sealing.KEY_FILE).stat().st_mode)[-3:] == "600"
    (home / sealing.KEY_FILE).unlink()
    with pytest.raises(QflowError, match="encrypted with another key"):
        sealing.unseal(sealed)


def test_an_address_may_be_kept_elsewhere(
    engine: Engine, webhook: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"{webhook.url}/env")
    (tmp_path / "address").write_text(f"{webhook.url}/file\n")
    add(engine, "a", "env:HOOK")
    add(engine, "b", f"file:{tmp_path}/address")
    add(engine, "c", "env:MISSING")
    send(engine, {"n": 1})
    deliver_all(engine)
    assert sorted(request.path for request in webhook.received) == ["/env", "/file"]
    with engine.connect() as connection:
        assert endpoints.masked(endpoints.find(connection, name="a")[0])["address"] == "env:HOOK"


@pytest.mark.parametrize(
    "address", ["", "nowhere", "http://", "gopher://x", "slack://", "env:", "https://host:notaport/"]
)
def test_an_address_of_no_known_form_is_refused(engine: Engine, address: str) -> None:
    with engine.begin() as connection, pytest.raises(UsageError):
        endpoints.add(connection, "x", QUEUE, address)


def test_names_are_taken_once(engine: Engine) -> None:
    add(engine, "ops", "https://example.org/")
    with pytest.raises(UsageError, match="there is an endpoint 'ops' already"):
        add(engine, "ops", "https://example.org/2")
    with engine.begin() as connection, pytest.raises(UsageError, match="no endpoint 'other'"):
        endpoints.remove(connection, "other")
