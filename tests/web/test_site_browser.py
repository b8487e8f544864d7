"""The pages in a real browser: they fit a phone and a wide screen, in light and dark, and a screen reader can use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy import Engine, text

from qflow_dagster.web.pages import NAVIGATION
from tests.improvement_loop import MUTABLE, Loop
from tests.web.test_browser import CHROMIUM, browser, page

__all__ = ["browser", "page"]

AXE = Path(".venv/node/lib/node_modules/axe-core/axe.min.js")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (on Debian: apt-get install chromium)"
)
PHONE, LAPTOP, WIDE = (ViewportSize(width=width, height=900) for width in (390, 1280, 1600))
SCREENS: list[tuple[Literal["light", "dark"], ViewportSize]] = [
    ("light", WIDE),
    ("dark", LAPTOP),
    ("light", PHONE),
]
# The innermost elements that make the page scroll sideways.
TOO_WIDE = """document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("main *, header *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth && !e.closest(".code, pre"))
    .map(e => e.outerHTML.slice(0, 150)).slice(-2)"""
LONG = "a_very_long_name_of_a_function_that_cannot_be_broken_anywhere_" * 3


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core (make setup-dev installs it)")
def test_every_page_fits_and_has_names_for_all_that_can_be_used(
    browser: Browser, served: str, engine: Engine, loop: Loop, ask: Callable[..., UUID]
) -> None:
    loop.repository.commit({"src/shop.py": MUTABLE, f"src/{LONG}.py": f"def {LONG}():\n    return 1\n"})
    [suggestion] = loop.improve()
    request = ask()
    with engine.begin() as connection:
        insert = "INSERT INTO error_occurrences (operation, message) VALUES (:name, :name)"
        connection.execute(text(insert), {"name": LONG})
    addresses = [
        *NAVIGATION,
        "/repositories/project",
        "/repositories/project/findings",
        "/repositories/project/files",
        "/repositories/project/files/src/shop.py",
        "/rules/python/mutable-default",
        f"/changes/{suggestion['id']}",
        f"/approvals/{suggestion['approval']}",
        f"/approvals/{request}",
        f"/approvals/selected?id={request}",
        f"/workflows/{suggestion['id']}",
        "/nowhere",
    ]
    axe = AXE.read_text(encoding="utf-8")
    problems: list[str] = []
    for scheme, size in SCREENS:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page = context.new_page()
        for address in addresses:
            page.goto(f"{served}{address}")
            where = f"{address} {size['width']} {scheme}"
            problems += [f"{where}: too wide: {element}" for element in page.evaluate(TOO_WIDE)]
            page.evaluate(axe)
            violations = page.evaluate(
                "axe.run().then(r => r.violations.map(v => [v.id, v.nodes[0].html, v.nodes[0].failureSummary]))"
            )
            problems += [f"{where}: {violation}" for violation in violations]
        context.close()
    assert not problems, "\n".join(problems)


def test_the_first_tab_leads_past_the_navigation(page: Page, served: str) -> None:
    page.goto(served)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_a_page_follows_the_workflows_as_they_change(
    page: Page, served: str, engine: Engine, ask: Callable[..., UUID]
) -> None:
    page.goto(served)
    expect(page.get_by_text("Nothing needs attention.")).to_be_visible()
    ask()
    expect(page.get_by_text("1 request to decide on.")).to_be_visible(timeout=15_000)
