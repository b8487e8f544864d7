"""Lines around the hunks of a diff: whatever is opened, the lines are those of the file, with their numbers."""

import re
from collections.abc import Callable
from difflib import unified_diff
from html import unescape
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect
from sqlalchemy import Engine
from starlette.testclient import TestClient

from qflow_dagster.web.diff_context import expand
from qflow_dagster.web.diffs import DiffFile, diff_files
from tests.improvement_loop import MUTABLE, Loop
from tests.web.test_browser import CHROMIUM, browser, page

__all__ = ["browser", "page"]

Lines = list[str]
TEXTS = st.lists(st.sampled_from(["a", "b", "", "  c"]), max_size=30)


def diff(old: Lines, new: Lines, around: int) -> DiffFile:
    lines = unified_diff(old, new, "a/f", "b/f", n=around, lineterm="")
    return diff_files("\n".join(["diff --git a/f b/f", *lines]) + "\n")[0]


def shown(file: DiffFile) -> list[tuple[str, int | None, int | None, str]]:
    return [
        (line.kind, line.old, line.new, line.text)
        for line in file.lines
        if line.kind in ("same", "added", "deleted")
    ]


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_a_diff_with_all_gaps_opened_is_the_whole_file(old: Lines, new: Lines, around: int) -> None:
    file, whole = diff(old, new, around), diff(old, new, 100)
    expand(file, old, dict.fromkeys(range(40), 100))
    if old != new:
        assert shown(file) == shown(whole)
        assert not any(line.hidden for line in file.lines)


@given(TEXTS, TEXTS, st.integers(0, 3), st.integers(0, 5))
def test_what_is_hidden_and_what_is_shown_are_all_lines(
    old: Lines, new: Lines, around: int, lines: int
) -> None:
    file = diff(old, new, around)
    expand(file, old, dict.fromkeys(range(40), lines))
    if old != new:
        seen = {line.old for line in file.lines if line.old is not None}
        assert len(seen) + sum(line.hidden for line in file.lines) == len(old)


@pytest.fixture
def request_(loop: Loop) -> str:
    """The page of a request to change a line in the middle of a long file."""
    before, after = ("".join(f"{name}_{n} = {n}\n" for n in range(60)) for name in ("before", "after"))
    loop.repository.commit({"src/shop.py": before + "\n\n" + MUTABLE + "\n\n" + after})
    [suggestion] = loop.improve()
    return f"/approvals/{suggestion['approval']}"


def test_a_link_shows_more_lines_around_a_change(request_: str, client: TestClient) -> None:
    """It keeps what is shown, and ends at the file's ends; nonsense opens nothing."""
    page = client.get(request_).text
    assert "before_59" in page
    assert "before_45" not in page
    [first, last] = [unescape(href) for href in re.findall(r'class="expand" href="([^"]+)"', page)]
    assert (first, last) == ("?gap=0.0.20#file-0", "?gap=0.1.20#file-0")
    page = client.get(request_ + first).text
    assert "before_45" in page
    assert "after_15" not in page
    assert "?gap=0.0.20&amp;gap=0.1.20#file-0" in page
    page = client.get(f"{request_}?gap=0.0.500&gap=0.1.500").text
    assert "before_0 " in page
    assert "after_59" in page
    assert 'class="expand"' not in page
    assert "more lines are not shown" not in page
    for nonsense in ("0.0", "x.y.z", "9.9.9", "0.0.-1", "0.0.99999999999"):
        assert "before_45" not in client.get(f"{request_}?gap={nonsense}").text


def test_a_request_that_is_bound_to_no_commit_has_no_such_links(
    client: TestClient, ask: Callable[..., UUID]
) -> None:
    assert 'class="expand"' not in client.get(f"/approvals/{ask()}").text


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (on Debian: apt-get install chromium)")
def test_a_click_shows_them_in_place(page: Page, served: str, engine: Engine, request_: str) -> None:
    page.goto(served + request_)
    page.evaluate("window.same = true")
    page.get_by_role("link", name="Show more of").first.click()
    expect(page.get_by_text("before_45").first).to_be_visible()
    assert page.evaluate("window.same")
    assert page.url.endswith("?gap=0.0.20#file-0")
    page.reload()
    expect(page.get_by_text("before_45").first).to_be_visible()
