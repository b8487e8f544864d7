"""Decisions by buttons in Slack: only what Slack signed, only people we know, the same rules as in the inbox."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from starlette.testclient import TestClient

from qflow_dagster.approvals import records
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import NotificationsSettings
from qflow_dagster.web import slack
from tests.web.slack_signature import signature

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


@pytest.fixture(autouse=True)
def slack_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = NotificationsSettings(slack_secret=SecretStr(SECRET), slack_users={"U1": "ada", "U2": "bot"})
    monkeypatch.setattr(settings(), "notifications", chosen)


def press(
    client: TestClient,
    value: str,
    *,
    user: str = "U1",
    action: str = "approve",
    age: int = 0,
    secret: str = SECRET,
) -> Any:
    pressed = {"user": {"id": user}, "actions": [{"action_id": action, "value": value}]}
    body = urlencode({"payload": json.dumps(pressed)})
    timestamp = str(int(time.time()) - age)
    headers = {
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature(secret, timestamp, body),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return client.post("/slack/interactions", content=body, headers=headers)


def shown(engine: Engine, id_: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        return records.show(connection, id_)


def test_slacks_own_example_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worked example of Slack's documentation."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
        b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
        b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    assert slack.is_signed(headers, body, 1531420620.0)
    assert not slack.is_signed(headers, body + b"x", 1531420620.0)
    assert not slack.is_signed(headers, body, 1531420618.0 + 301)


def test_a_button_decides_what_was_shown(
    client: TestClient, engine: Engine, ask: Callable[..., UUID]
) -> None:
    id_ = ask()
    digest = shown(engine, id_)["digest"]
    answer = press(client, f"{id_} {digest}")
    assert answer.json()["text"] == "ada: approve counted; the approval is approved (1 of 1)"
    found = shown(engine, id_)
    assert found["status"] == "approved"
    assert found["decisions"][0]["comment"] == "decided in Slack"
    # The token is shown to nobody there.
    assert "token" not in answer.text


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ({"secret": "another"}, 401, "not signed by Slack"),
        ({"age": 301}, 401, "too old"),
        ({"user": "U9"}, 200, "nobody's here"),
        ({"user": "U2"}, 200, "somebody else has to decide it"),
        ({"value": "0123"}, 200, "belongs to no approval"),
        ({"digest": "00"}, 200, "is not what approval"),
        ({"action": "delete"}, 200, "means nothing here"),
    ],
)
def test_nothing_else_decides(
    client: TestClient,
    engine: Engine,
    ask: Callable[..., UUID],
    how: dict[str, Any],
    code: int,
    says: str,
) -> None:
    id_ = ask()
    value = how.pop("value", None) or f"{id_} {how.pop('digest', None) or shown(engine, id_)['digest']}"
    answer = press(client, value, **how)
    assert answer.status_code == code
    assert says in answer.text
    assert shown(engine, id_)["status"] == "pending"


def test_without_a_secret_nothing_is_signed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "notifications", NotificationsSettings())
    assert press(client, "x y").status_code == 401
