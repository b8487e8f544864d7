"""Pushes that a forge reports: only what it signed, and only for repositories that are registered by URL."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, insert, text
from starlette.testclient import TestClient

from qflow_dagster.ingestion import queries, remotes
from qflow_dagster.ingestion.tables import repositories
from qflow_dagster.registry import Channel
from qflow_dagster.sensors import ingestion
from qflow_dagster.settings import settings

SECRET = "It's a Secret to Everybody"
GITHUB = {"repository": {"clone_url": "https://github.com/Ada/Shop.git", "full_name": "Ada/Shop"}}
GITLAB = {"object_kind": "push", "project": {"git_ssh_url": "git@gitlab.example.org:ada/tools.git"}}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings().ingestion, "webhook_secret", SecretStr(SECRET))


@pytest.fixture(autouse=True)
def registered(engine: Engine) -> None:
    """Two repositories by URL, and one by its path."""
    rows = [
        ("shop", "https://github.com/ada/shop", True),
        ("tools", "ssh://git@gitlab.example.org/ada/tools", True),
        ("local", "/srv/github.com/ada/shop", False),
    ]
    with engine.begin() as connection:
        for name, location, mirrored in rows:
            values = {"name": name, "location": location, "mirrored": mirrored, "object_format": "sha1"}
            connection.execute(insert(repositories).values(**values))


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def post(client: TestClient, report: Any, headers: dict[str, str] | None = None) -> Any:
    body = json.dumps(report).encode()
    return client.post("/webhooks/pushes", content=body, headers=signed(body) if headers is None else headers)


def pushed(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return {row["name"] for row in queries.repositories(connection) if row["pushed"]}


def test_githubs_own_example_is_authentic() -> None:
    """The worked example of GitHub's documentation."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    from qflow_dagster.web.pushes import is_authentic

    assert is_authentic({"X-Hub-Signature-256": signature}, b"Hello, World!")


@pytest.mark.parametrize(
    ("report", "headers", "name"), [(GITHUB, None, "shop"), (GITLAB, {"X-Gitlab-Token": SECRET}, "tools")]
)
def test_the_repository_of_a_push_is_looked_at_first_and_at_once(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, report: Any, headers: Any, name: str
) -> None:
    with engine.connect() as listening:
        listening.execute(text(f"LISTEN {Channel.COMMITS}"))
        listening.commit()
        answer = post(client, report, headers)
        assert (answer.status_code, answer.json()) == (202, {"repositories": [name]})
        driver: Any = listening.connection.driver_connection
        assert [each.channel for each in driver.notifies(timeout=5, stop_after=1)] == [Channel.COMMITS]
    assert pushed(engine) == {name}
    seen: list[str] = []
    monkeypatch.setattr(remotes, "head", lambda location: seen.append(location) or "a" * 40)
    with engine.connect() as connection:
        rows = queries.repositories(connection)
    ingestion.observe(rows, float("inf"))
    assert seen[0] == next(row["location"] for row in rows if row["name"] == name)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(json.dumps(GITHUB).encode(), "another"),
        signed(b"another body"),
        {"X-Gitlab-Token": "another"},
        {"X-Gitlab-Token": ""},
        {"X-Hub-Signature-256": "sha256=ß"},
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused(
    client: TestClient, engine: Engine, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = post(client, GITHUB, encoded)  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 401
    assert pushed(engine) == set()


def test_without_a_secret_every_report_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().ingestion, "webhook_secret", None)
    assert post(client, GITHUB).status_code == 401
    assert post(client, GITHUB, {"X-Gitlab-Token": ""}).status_code == 401


@pytest.mark.parametrize(
    "report",
    [
        {"zen": "Keep it logically awesome."},
        {"repository": {"clone_url": "https://github.com/ada/shop2"}},
        {"repository": {"clone_url": "/srv/github.com/ada/shop", "html_url": ["x"], "ssh_url": "https://["}},
        {"repository": "shop", "project": 5},
        [],
    ],
)
def test_a_report_about_nothing_registered_changes_nothing(
    client: TestClient, engine: Engine, report: Any
) -> None:
    answer = post(client, report)
    assert (answer.status_code, answer.json()) == (202, {"repositories": []})
    assert pushed(engine) == set()


def test_a_form_instead_of_json_is_refused_with_what_to_do(client: TestClient) -> None:
    body = b"payload=%7B%7D"
    answer = client.post("/webhooks/pushes", content=body, headers=signed(body))
    assert answer.status_code == 400
    assert "application/json" in answer.json()["detail"]
