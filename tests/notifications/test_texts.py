"""What notifications say, how often they come, and the forms of chat services."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.agents.request_description import describe, explain
from qflow_dagster.approvals import arbiter, records
from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure import error_analysis, health_agent
from qflow_dagster.infrastructure.circuit_breaker import hold, release, show
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.infrastructure.health_agent import CheckResult
from qflow_dagster.notifications import chat, delivery, digests, endpoints
from qflow_dagster.notifications.digests import Item, Recent
from qflow_dagster.notifications.endpoints import Endpoint
from qflow_dagster.notifications.rendering import Text
from qflow_dagster.quantumflow import find, send_with_notify
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import NotificationsSettings

STACK = 'Traceback (most recent call last):\n  File "/srv/shop/cart.py", line 7, in total\n'
QUEUES = (
    "approval_notifications",
    "error_notifications",
    "health_notifications",
    "circuit_breaker_notifications",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "home", tmp_path)
    monkeypatch.setattr(settings(), "notifications", NotificationsSettings())


@pytest.fixture
def notified(engine: Engine) -> Callable[[], list[dict[str, Any]]]:
    """Return the notifications made since the last call, oldest first; one endpoint hears all queues."""
    for queue in QUEUES:
        with engine.begin() as connection:
            endpoints.add(connection, f"all of {queue}".replace(" ", "-"), queue, "http://127.0.0.1:1/")
    seen: set[Any] = set()

    # Transactions of other tests hold messages back for a moment.
    unread = text(
        "SELECT count(*) FROM messages m JOIN subscriptions s USING (queue) WHERE (m.xact, m.id) > (s.xact, s.id)"
    )

    def since() -> list[dict[str, Any]]:
        for _ in range(1_000):
            with engine.begin() as connection:
                delivery.distribute(connection, explain)
            with engine.connect() as connection:
                if not connection.scalar(unread):
                    break
            time.sleep(0.02)
        with engine.connect() as connection:
            jobs = find(connection, type_name="notification", limit=1_000)
        new = sorted((job for job in jobs if job.id not in seen), key=lambda job: job.id)
        seen.update(job.id for job in new)
        return [dict(job.payload) for job in new]

    return since


def titles(notes: list[dict[str, Any]]) -> list[str]:
    return [note["title"] for note in notes]


# What they say


def test_an_approval_is_told_once_with_what_is_needed_to_decide(
    engine: Engine, notified: Callable[[], list[dict[str, Any]]]
) -> None:
    with engine.begin() as connection:
        id_ = arbiter.request_approval(
            connection,
            "edit",
            "shop",
            {"repository": "shop", "patch": "p"},
            requested_by="agent:improver",
            reason="close the file",
            evidence={"risk": "high", "gates": {"parses": "passed: no syntax error"}},
        )
        description = describe(connection, records.show(connection, id_))
    [note] = notified()
    assert note["title"] == "requested: edit shop: close the file"
    first, *sentences = note["body"].splitlines()
    assert first.startswith("agent:improver requests it; risk high; 1 needed, until 20")
    # What its page and the terminal say.
    assert sentences == [f"{label}: {words}" for label, words in description.sentences().items()]
    assert "Not checked: tests: they did not run" in sentences
    assert note["link"] == f"http://127.0.0.1:3001/approvals/{id_}"
    with engine.begin() as connection:
        digest = records.show(connection, id_)["digest"]
        assert note["data"]["digest"] == digest
        arbiter.comment(connection, id_, actor="bob", words="is it urgent?")
        arbiter.deny(connection, id_, actor="ada", digest=digest, comment="not before the release")
    asked, note = notified()
    assert (asked["title"], asked["body"]) == ("comment: edit shop: close the file", "by bob: is it urgent?")
    assert (note["title"], note["body"]) == (
        "denied: edit shop: close the file",
        "by ada: not before the release",
    )


def test_an_error_has_its_message_and_place(
    engine: Engine, notified: Callable[[], list[dict[str, Any]]]
) -> None:
    with engine.begin() as connection:
        error = Occurrence(operation="pay", kind="ValueError", message="amount is negative", stack=STACK)
        track_errors(connection, [error] * 3)
    error_analysis.analyze(engine)
    [note] = notified()
    assert note["title"] == "open: ValueError in pay"
    with engine.connect() as connection:
        group = connection.scalar(text("SELECT id FROM error_groups"))
    assert note["link"] == f"http://127.0.0.1:3001/errors/{group}"
    assert note["body"].splitlines()[:2] == ["amount is negative", "at /srv/shop/cart.py:7 in total"]
    assert note["body"].splitlines()[2].startswith("3 times, last 20")


def test_an_incident_says_what_is_now_and_each_change_once(
    engine: Engine, notified: Callable[[], list[dict[str, Any]]]
) -> None:
    said = []
    for status, message in (
        ("healthy", "fine"),
        ("degraded", "slow 2 s"),
        ("degraded", "slow 2 s"),
        ("unhealthy", "port closed"),
        ("unhealthy", "port closed"),
        ("healthy", "fine"),
        ("healthy", "fine"),
    ):
        with engine.begin() as connection:
            result = CheckResult(status, message)  # type: ignore[arg-type]
            health_agent.record(connection, {"service:shop": {"service:shop": result}})
        said += [(note["title"], note["body"]) for note in notified()]
    assert said == [
        ("degraded: service:shop", "slow 2 s"),
        ("unhealthy: service:shop", "port closed"),
        ("healthy: service:shop", "fine"),
    ]


def test_a_breaker_says_why(engine: Engine, notified: Callable[[], list[dict[str, Any]]]) -> None:
    with engine.begin() as connection:
        hold(connection, "http api", "open", actor="ada", reason="maintenance until 18:00")
    opened = notified()[-1]
    assert opened["title"] == "open: circuit breaker http api"
    assert opened["body"] == "maintenance until 18:00\nby ada"
    with engine.begin() as connection:
        release(connection, "http api", actor="ada")
    assert titles(notified()) == ["half_open: circuit breaker http api"]


def test_a_template_can_be_replaced_and_a_broken_one_does_no_harm(
    engine: Engine,
    notified: Callable[[], list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings(), "notifications", NotificationsSettings(templates=tmp_path))
    (tmp_path / "error_rate.txt").write_text("{{ operation | upper }} is on fire\n{{ rate }}")
    (tmp_path / "circuit_breaker.txt").write_text("{{ ''.__class__.__mro__ }} {% if %}")
    with engine.begin() as connection:
        message = {"event": "high_error_rate", "operation": "pay", "rate": 0.5}
        send_with_notify(connection, "error_notifications", [message])
        hold(connection, "http api", "open", actor="ada", reason="maintenance")
    assert set(titles(notified())) >= {"PAY is on fire", "open: circuit breaker http api"}


# How often they come


def test_equal_events_are_one_notification_and_a_count(
    engine: Engine, notified: Callable[[], list[dict[str, Any]]]
) -> None:
    """Also where their numbers differ."""
    for _ in range(3):
        with engine.begin() as connection:
            events = [
                {"event": "high_error_rate", "operation": "pay", "errors": n, "total": 600}
                for n in range(500)
            ]
            send_with_notify(connection, "error_notifications", events)
    notes = notified() + notified() + notified()
    assert titles(notes) == ["high error rate: pay"]
    assert notified() == []
    with engine.begin() as connection:
        connection.execute(text("UPDATE notification_waiting SET due_at = now()"))
    assert titles(notified()) == ["high error rate: pay (1499 times)"]


def test_a_burst_of_different_events_is_joined(
    engine: Engine, notified: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "notifications", NotificationsSettings(burst=5))
    with engine.begin() as connection:
        events = [{"event": "high_error_rate", "operation": f"o{n}"} for n in range(60)]
        send_with_notify(connection, "error_notifications", events)
    assert len(notified()) == 5
    with engine.begin() as connection:
        connection.execute(text("UPDATE notification_waiting SET due_at = now()"))
    [digest] = notified()
    assert digest["title"] == "55 notifications"
    assert digest["body"].splitlines()[0] == "high error rate: o5"
    assert digest["body"].splitlines()[-1] == "and 5 more"


def item(severity: str = "error", **options: Any) -> Item:
    endpoint = Endpoint(uuid4(), "chat", "q", b"", None, {}, endpoints.check_options(options))
    return Item(endpoint, Text("t", "b"), severity, None, b"g")


@pytest.mark.parametrize(
    ("now", "quiet", "zone", "until"),
    [
        ("2026-03-01T23:00", "22:00-07:00", "UTC", "2026-03-02T07:00"),
        ("2026-03-02T06:59", "22:00-07:00", "UTC", "2026-03-02T07:00"),
        ("2026-03-02T07:00", "22:00-07:00", "UTC", None),
        ("2026-03-02T12:30", "12:00-13:00", "UTC", "2026-03-02T13:00"),
        # 23:30 in Berlin, where summer begins in that night.
        ("2026-03-28T22:30", "22:00-07:00", "Europe/Berlin", "2026-03-29T05:00"),
        ("2026-03-01T20:59", "22:00-07:00", "Europe/Berlin", None),
    ],
)
def test_quiet_hours(now: str, quiet: str, zone: str, until: str | None) -> None:
    at = datetime.fromisoformat(f"{now}+00:00")
    due = digests.due_at(item(quiet=quiet, timezone=zone), Recent(), at)
    assert due == (until and datetime.fromisoformat(f"{until}+00:00"))
    assert digests.due_at(item("critical", quiet=quiet, timezone=zone), Recent(), at) is None


def test_what_comes_within_the_period_of_a_digest_is_one_message(engine: Engine) -> None:
    with engine.begin() as connection:
        endpoints.add(
            connection, "hourly", "error_notifications", "http://127.0.0.1:1/", options={"digest": 60}
        )
    for n in range(3):
        with engine.begin() as connection:
            send_with_notify(
                connection, "error_notifications", [{"event": "high_error_rate", "operation": f"o{n}"}]
            )
        for _ in range(200):
            with engine.begin() as connection:
                delivery.distribute(connection)
                waiting = connection.scalar(text("SELECT count(*) FROM notification_waiting"))
            if waiting == n + 1:
                break
            time.sleep(0.02)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(DISTINCT due_at) FROM notification_waiting")) == 1
        connection.execute(text("UPDATE notification_waiting SET due_at = now()"))
        delivery.distribute(connection)
        [job] = find(connection, type_name="notification")
    assert job.payload["title"] == "3 notifications"


def test_the_breaker_of_a_removed_endpoint_does_not_stay_open(engine: Engine) -> None:
    with engine.begin() as connection:
        endpoints.add(connection, "gone", "error_notifications", "http://127.0.0.1:1/")
        hold(connection, "notify:gone", "open", actor="ada", reason="r")
        endpoints.remove(connection, "gone")
        assert show(connection, "notify:gone")["state"] == "closed"


def test_a_digest_waits_and_what_is_critical_does_not() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert digests.due_at(item(digest=30), Recent(), now) == now + timedelta(minutes=30)
    assert digests.due_at(item("critical", digest=30), Recent(), now) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"severity": "loud"}, "valid ones: info, warning, error, critical"),
        ({"digest": 0}, "a digest comes every 1 to"),
        ({"quiet": "22-7"}, "expected HH:MM-HH:MM"),
        ({"quiet": "22:00-22:00"}, "different times"),
        ({"timezone": "Berlin"}, "is not a time zone"),
        ({"timezone": "Europe"}, "is not a time zone"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        endpoints.check_options({**options})


def test_severity_kind_repository_and_owner_choose_the_endpoint(
    engine: Engine, notified: Callable[[], list[dict[str, Any]]]
) -> None:
    with engine.begin() as connection:
        for name, queue, filters, severity in (
            ("shop", "approval_notifications", {"repository": ["shop"]}, None),
            ("other", "approval_notifications", {"repository": ["other"]}, None),
            ("grave", "approval_notifications", {}, "warning"),
        ):
            endpoints.add(
                connection,
                name,
                queue,
                "http://127.0.0.1:1/",
                filters=filters,
                options={"severity": severity},
            )
    for repository, risk in (("shop", "low"), ("other", "high")):
        with engine.begin() as connection:
            arbiter.request_approval(
                connection,
                "edit",
                repository,
                {"repository": repository},
                requested_by="bot",
                reason="r",
                evidence={"risk": risk},
            )
    got = sorted((note["endpoint"], note["title"]) for note in notified())
    assert [pair for pair in got if not pair[0].startswith("all")] == [
        ("grave", "requested: edit other: r"),
        ("other", "requested: edit other: r"),
        ("shop", "requested: edit shop: r"),
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("99999", 3_600),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert delivery.retry_after(value) == seconds


# Chat services


@pytest.mark.parametrize(
    ("address", "service"),
    [
        (
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ".replace(
                "/A1", "/B1"
            ),
            "Slack",
        ),
        ("https://hooks.slack-gov.com/services/T0AAAAAAA/B0BBBBBBB/abcdefghijklmnopqrstuvwx", "Slack"),
        ("https://discord.com/api/v10/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "Discord"),
        (
            "https://chat.googleapis.com/v1/spaces/AAAABBBB/messages?key=AIzaSyDdI0hCZtE6vySjMm-WEfRq3CPzqKqqsHI"
            "&token=abcDEF%3D",
            "Google Chat",
        ),
        ("https://webexapis.com/v1/webhooks/incoming/" + "Y2lzY29zcGFyazov" * 5, "Webex"),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/abcdef12-3456-7890-abcd-ef1234567890", "Lark"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/abcdef12-3456-7890-abcd-ef1234567890", "Lark"),
        (
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=8b6b8a3c-1234-5678-9abc-def012345678",
            "WeCom",
        ),
        ("https://ntfy.sh/qflow", "ntfy"),
        (f"https://rocket.example.org/hooks/{'61f0a1b2' * 3}/{'AbCdEfGh' * 6}", "Rocket.Chat"),
        ("https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "Discord"),
        (
            "https://prod-161.westeurope.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64/triggers/"
            "manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFr0z0eu",
            "Teams",
        ),
        ("https://chat.example.org/hooks/xxxxxxxxxxxxxxxxxxxxxxxxxx", "Mattermost"),
        ("https://ci.example.org/hooks/build", None),
        ("https://hooks.slack.com.example.org/services/T1/B1/x", None),
    ],
)
def test_the_address_of_a_chat_service_is_recognized_and_accepted(address: str, service: str | None) -> None:
    assert chat.chat_service(address) == service
    endpoints.check_address(address)
    assert endpoints.is_webhook(address) == (service is None)


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("https://hooks.slack.com/T1/B1/x", "https://hooks.slack.com/services/T.../B.../..."),
        ("http://hooks.slack.com/services/T1/B1/x", "https://hooks.slack.com/services/T.../B.../..."),
        ("https://discord.com/channels/1/2", "https://discord.com/api/webhooks/NUMBER/TOKEN"),
        ("https://team.webhook.office.com/x", "/workflows/ID/triggers/manual/paths/invoke"),
        (
            "https://outlook.office.com/webhook/a@b/IncomingWebhook/c/d",
            "/workflows/ID/triggers/manual/paths/invoke",
        ),
        ("https://chat.googleapis.com/v1/spaces", "https://chat.googleapis.com/v1/spaces/SPACE/messages"),
        ("https://api.telegram.org/bot123456789:AAabc/sendMessage", "tgram://BOT_TOKEN/CHAT_ID"),
        ("https://events.pagerduty.com/v2/enqueue", "pagerduty://INTEGRATION_KEY@API_KEY"),
        ("https://api.opsgenie.com/v2/alerts", "opsgenie://API_KEY"),
    ],
)
def test_a_wrong_address_of_a_chat_service_is_refused_with_the_expected_form(address: str, form: str) -> None:
    with pytest.raises(UsageError) as refused:
        endpoints.check_address(address)
    assert form in str(refused.value)


def test_nothing_in_a_text_is_markup_for_slack() -> None:
    message = json.loads(chat.slack_message("<!channel> *t*", "<https://evil|here>", "https://q/1", None))
    assert [block["type"] for block in message["blocks"]] == ["header", "section", "actions"]
    assert message["blocks"][1]["text"] == {
        "type": "plain_text",
        "text": "<https://evil|here>",
        "emoji": False,
    }
    with_buttons = json.loads(chat.slack_message("t", "", "https://q/1", {"id": "i", "digest": "d"}))
    assert [(b["action_id"], b.get("value")) for b in with_buttons["blocks"][-1]["elements"]] == [
        ("approve", "i d"),
        ("deny", "i d"),
        ("open", None),
    ]
