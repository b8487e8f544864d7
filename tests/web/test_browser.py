"""The inbox in a real browser: it renews itself, is worked by keys, runs without JavaScript, and no text becomes code."""

import shutil
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import Engine

from qflow_dagster.approvals import records
from tests.web.test_inbox import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (on Debian: apt-get install chromium)"
)
Ask = Callable[..., UUID]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing may run, pop up or be refused by the policy."""
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: problems.append(message.text) if "Content Security Policy" in message.text else None,
    )
    yield page
    context.close()
    assert problems == []


def status(engine: Engine, id_: UUID) -> str:
    with engine.connect() as connection:
        return records.show(connection, id_)["status"]


def test_the_list_renews_itself_and_keeps_the_focus(page: Page, served: str, ask: Ask) -> None:
    ask(reason="first")
    page.goto(f"{served}/approvals")
    expect(page).to_have_title("1 pending · qflow")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="first")).to_be_focused()
    ask(reason="second")
    expect(page.get_by_role("link", name="second")).to_be_visible(timeout=10_000)
    expect(page).to_have_title("2 pending · qflow")
    expect(page.get_by_role("link", name="first")).to_be_focused()


def test_an_approval_is_decided_by_keys_alone(page: Page, served: str, engine: Engine, ask: Ask) -> None:
    id_ = ask()
    page.goto(f"{served}/approvals")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("td.added code")).to_contain_text("i.price * i.count")
    # Keys pressed before the page's script ran are nobody's.
    page.wait_for_load_state()
    page.keyboard.press("c")
    expect(page.get_by_label("Comment")).to_be_focused()
    page.keyboard.type("looks right, and a d r")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.locator("h1").click()
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_contain_text("Queued")
    assert status(engine, id_) == "approved"
    with engine.connect() as connection:
        assert records.show(connection, id_)["decisions"][0]["comment"] == "looks right, and a d r"


def test_without_javascript_it_works_as_well(browser: Browser, served: str, engine: Engine, ask: Ask) -> None:
    id_ = ask()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served}/approvals")
    page.get_by_role("link", name="counts were ignored").click()
    page.get_by_label("Comment").fill("no")
    page.get_by_role("button", name="Deny").click()
    expect(page.locator("h1 .status")).to_have_text("denied")
    assert status(engine, id_) == "denied"
    context.close()


@pytest.mark.parametrize("words", HOSTILE)
def test_no_text_from_outside_runs_or_makes_elements(page: Page, served: str, ask: Ask, words: str) -> None:
    id_ = ask(
        {"patch": f"diff --git a/{words} b/x\n@@ -1 +1 @@\n-{words}\n+{words}\n", words: [words]},
        target=words,
        reason=words,
        requested_by=words,
        evidence={words: words},
    )
    page.goto(f"{served}/approvals")
    assert page.locator("main img, main svg, main script").count() == 0
    page.goto(f"{served}/approvals/{id_}")
    page.get_by_label("Comment").fill(words)
    page.get_by_role("button", name="Deny").click()
    expect(page.locator("h1 .status")).to_have_text("denied")
    assert page.locator("main img, main svg, main script").count() == 0
    assert page.locator("td.added code").inner_text() == f"+{words}"


def test_another_site_cannot_post_frame_or_read_it(
    browser: Browser, served: str, engine: Engine, ask: Ask
) -> None:
    id_ = ask()
    page = browser.new_page()
    page.route(
        "https://evil.example/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f"<form method=post action='{served}/approvals/{id_}'><input name=decision value=approve></form>"
            f"<iframe src='{served}/approvals'></iframe>",
        ),
    )
    page.goto("https://evil.example/")
    read = page.evaluate(f"fetch('{served}/approvals').then(a => a.text(), () => 'refused')")
    assert read == "refused"
    assert "Skip to the content" not in "".join(frame.content() for frame in page.frames)
    page.evaluate("document.forms[0].submit()")
    page.wait_for_url(f"{served}/approvals/{id_}")
    assert status(engine, id_) == "pending"
    page.close()
