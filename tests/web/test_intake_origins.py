"""Who may send errors from a browser: nobody where no key is set, and with one the pages that are named."""

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import Engine
from starlette.testclient import TestClient

from qflow_dagster.errors import UsageError
from qflow_dagster.web.app import build_app
from tests.http_server import local_server
from tests.web.conftest import serving
from tests.web.test_sentry import EVENT, envelope, stored

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOP = "https://shop.example.org"
Change = Callable[..., None]
BODY = envelope(("event", EVENT))
CROSS = {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain;charset=UTF-8"}


def app(engine: Engine) -> TestClient:
    return TestClient(build_app(engine, host="127.0.0.1"), base_url="http://127.0.0.1:3001")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": SHOP, **CROSS},
        {"Origin": "null", **CROSS},
        CROSS,
        {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site"},
        {"Referer": f"{SHOP}/cart"},
    ],
)
@pytest.mark.parametrize("path", ["/api/1/envelope/", "/api/1/store/", "/api/1/envelope/?sentry_key=any"])
def test_without_a_key_no_other_site_stores_anything(
    client: TestClient, engine: Engine, headers: dict[str, str], path: str
) -> None:
    answer = client.post(path, content=BODY, headers=headers)
    assert (answer.status_code, stored(engine)) == (403, 0)
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_programs_that_are_no_browser_send_as_ever(client: TestClient, engine: Engine) -> None:
    assert client.post("/api/1/envelope/", content=BODY).status_code == 200
    assert stored(engine) == 1


def test_a_named_page_with_the_key_sends_and_reads_the_answer(engine: Engine, error_settings: Change) -> None:
    error_settings(sentry_key="right", origins=[SHOP, "http://localhost:5173"])
    client = app(engine)
    for key, code in (("right", 200), ("wrong", 403), ("", 403)):
        answer = client.post(
            f"/api/1/envelope/?sentry_key={key}", content=BODY, headers={"Origin": SHOP, **CROSS}
        )
        assert answer.status_code == code
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Origin" in answer.headers["Vary"]
        assert answer.headers["Access-Control-Expose-Headers"] == "X-Sentry-Rate-Limits, Retry-After"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert stored(engine) == 1


@pytest.mark.parametrize(
    "source",
    [
        "https://evil.example",
        "null",
        f"{SHOP}.evil.example",
        f"{SHOP}:8443",
        "http://shop.example.org",
        f"{SHOP}/",
    ],
)
def test_the_key_alone_lets_no_other_page_send(engine: Engine, error_settings: Change, source: str) -> None:
    error_settings(sentry_key="right", origins=[SHOP])
    client = app(engine)
    headers = {"Origin": source, **CROSS}
    assert client.post("/api/1/envelope/?sentry_key=right", content=BODY, headers=headers).status_code == 403
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-sentry-auth"}
    preflight = client.options("/api/1/envelope/", headers={**headers, **ask})
    assert (preflight.status_code, stored(engine)) == (403, 0)
    assert "Access-Control-Allow-Origin" not in preflight.headers


def test_the_preflight_names_what_an_sdk_sends(engine: Engine, error_settings: Change) -> None:
    error_settings(sentry_key="right", origins=[SHOP])
    client = app(engine)
    ask: dict[str, Any] = {
        "Origin": SHOP,
        "Sec-Fetch-Site": "cross-site",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "baggage,content-type,sentry-trace,x-sentry-auth",
    }
    answer = client.options("/api/1/envelope/", headers=ask)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, SHOP)
    for path in ("/approvals", "/metrics", "/dagster/graphql"):
        assert client.options(path, headers=ask).status_code == 403
    ask["Access-Control-Request-Method"] = "DELETE"
    assert client.options("/api/1/envelope/", headers=ask).status_code == 400


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"origins": [SHOP]}, "QFLOW_ERRORS_SENTRY_KEY"),
        ({"origins": ["*"], "sentry_key": "right"}, "QFLOW_ERRORS_ORIGINS: '\\*'"),
        ({"origins": ["null"], "sentry_key": "right"}, "QFLOW_ERRORS_ORIGINS"),
    ],
)
def test_origins_that_would_let_everybody_in_are_refused(
    engine: Engine, error_settings: Change, values: dict[str, Any], words: str
) -> None:
    error_settings(**values)
    with pytest.raises(UsageError, match=words):
        build_app(engine, host="127.0.0.1")


# In a real browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


SEND = """async ([url, body, headers]) => {
  try { return (await (await fetch(url, {method: 'POST', body, headers, keepalive: true})).json()).id ?? 'no id' }
  catch (error) { return String(error.name) }
}"""


def test_in_a_browser_the_named_page_sends_and_another_does_not(
    browser: Browser, engine: Engine, error_settings: Change
) -> None:
    text = BODY.decode()
    sent = json.loads(text.splitlines()[0])["event_id"]
    auth = {"X-Sentry-Auth": "Sentry sentry_version=7, sentry_key=right", "Content-Type": "application/json"}
    page = browser.new_page()
    with local_server() as shop, local_server() as other:
        with serving(engine) as address:
            page.goto(shop.url)
            assert page.evaluate(SEND, [f"{address}/api/1/envelope/", text, {}]) == "TypeError"
            assert stored(engine) == 0, "without a key nobody's page may"
        error_settings(sentry_key="right", origins=[shop.url])
        with serving(engine) as address:
            plain = f"{address}/api/1/envelope/?sentry_key=right"
            assert page.evaluate(SEND, [plain, text, {}]) == sent
            assert page.evaluate(SEND, [f"{address}/api/1/envelope/", text, auth]) == sent
            page.goto(other.url)
            assert page.evaluate(SEND, [plain, text, {}]) == "TypeError"
    page.close()
    # It is one event, sent twice.
    assert stored(engine) == 1
