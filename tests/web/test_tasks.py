"""What people do with the pages, from the home page on, in a real browser: the clicks that docs/pages.md counts.

A step is `KIND:NAME`: a link, button or summary that is clicked, or a field that is filled in (`fill:LABEL=TEXT`).
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from playwright.sync_api import Error, Locator, Page
from sqlalchemy import Engine

from qflow_dagster.agents import builtin_agents
from qflow_dagster.execution import sparc
from qflow_dagster.infrastructure import error_rate_tracker
from qflow_dagster.ingestion import suspects
from tests.improvement_loop import Loop
from tests.web.test_browser import CHROMIUM, browser, page
from tests.web.test_pages import FAILURE, FILES

__all__ = ["browser", "page"]
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (on Debian: apt-get install chromium)"
)
DOCS = Path(__file__).parents[2] / "docs" / "pages.md"


class Task(NamedTuple):
    """What a person wants, the steps from the home page, and what is read at the end."""

    name: str
    steps: tuple[str, ...]
    seen: str


TASKS = (
    Task("see whether anything needs attention", (), "to decide on"),
    Task("find the oldest request of the highest risk", ("link:ago",), "What may differ"),
    Task("see what was not checked of it", ("link:ago",), "Not checked"),
    Task("see more code around its change", ("link:ago", "link:Show more of"), "if a > 5 and b < 5"),
    Task("see how its rule has done", ("link:ago", "link:Rule python/"), "Confidence over time"),
    Task("find a request by a word", ("link:Approvals", "fill:Text=discount", "button:Show"), "1 to 1 of 1"),
    Task("deny a request with a reason", ("link:Approvals", "link:discount", "fill:Comment=no", "button:Deny"), "is denied"),
    Task("see what became of a decision", ("link:Approvals", "link:consumed", "row:"), "Applied as commit"),
    Task("see what the loop did since yesterday", (), "The loop in the last 24 hours"),
    Task("find the branch of a change", ("link:Changes",), "qflow/"),
    Task("see which gates a change passed", ("link:Changes", "cell:change"), "What was checked"),
    Task("see the changes that wait", ("cell:pending changes",), "awaiting_approval"),
    Task("find the most complex function", ("link:project",), "Most complex functions"),
    Task("see why a function is complex", ("link:project", "cell:function"), "nesting"),
    Task("see who calls a function", ("link:project", "cell:function"), "Called by"),
    Task("find the files to look at first", ("link:project",), "Hotspots"),
    Task("see who knows the code", ("link:project",), "Owners and knowledge"),
    Task("see the state at an earlier commit", ("link:project", "summary:As a table", "last:commit"), "As of 20"),
    Task("list the findings of a rule", ("link:project", "cell:open"), "Most severe first"),
    Task("read the code of a finding", ("cell:open findings", "cell:line"), "Text"),
    Task("see what is planned next", ("link:project", "link:The whole plan"), "Next"),
    Task("see why an item has its score", ("link:project", "cell:score"), "What the score rests on"),
    Task("see what a rule finds and what not", ("link:Rules", "cell:rule"), "Examples"),
    Task("see why an error happened", ("link:checkout",), "caused by"),
    Task("open the line of code of an error", ("link:checkout", "link:src/shop.py:2"), "Text"),
    Task("see whether everything is healthy", ("link:health",), "Incidents"),
    Task("see the latencies of the workflows of a type", ("link:Workflows",), "99%"),
    Task("prove the history of a workflow", ("link:Workflows", "cell:type", "cell:workflow"), "verified just now"),
    Task("see where a goal stands", ("link:Goals", "cell:goal"), "Phases"),
    Task("see how often an agent succeeded", ("link:Agents", "cell:agent"), "Outcomes"),
)  # fmt: skip


def target(page: Page, kind: str, name: str) -> Locator:
    main = page.locator("main")
    match kind:
        case "link":
            named = page.get_by_role("link", name=name)
            return named.first
        case "button":
            return page.get_by_role("button", name=name, exact=True)
        case "summary":
            return main.locator("summary", has_text=name).first
        case "row":
            return main.locator("a.row").first
        case _:
            cells = main.locator(f'td[data-label="{name}"] a:visible')
            return cells.last if kind == "last" else cells.first


@pytest.fixture
def site(engine: Engine, loop: Loop, ask: Callable[..., UUID]) -> None:
    """A repository after the loop, with requests, an error, a goal and agents."""
    loop.repository.commit({"src/shop.py": "x = 1\n"})
    loop.find()
    long = "".join(f"number_{n} = {n}\n" for n in range(60))
    loop.repository.commit({**FILES, "src/shop.py": FILES["src/shop.py"] + "\n\n" + long})
    first, *_ = loop.improve()
    loop.approve(first)
    loop.apply()
    ask(reason="the discount was ignored")
    with engine.begin() as connection:
        error_rate_tracker.track_errors(connection, [FAILURE])
        sparc.start(
            connection,
            requested_by="ada",
            repository=loop.name,
            description="cognitive complexity of src/shop.py below 5",
        )
        builtin_agents.register_all(connection)
    suspects.analyze_errors(engine)


def test_thirty_tasks_take_the_clicks_that_the_documentation_counts(
    site: None, page: Page, served: str
) -> None:
    documented = dict(re.findall(r"^\| (.+?) \| (\d+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert {task.name: str(len(task.steps)) for task in TASKS}.items() <= documented.items()
    page.set_default_timeout(15_000)
    problems = [f"{task.name}: {problem}" for task in TASKS if (problem := undone(page, served, task))]
    assert not problems, "\n".join(problems)


def undone(page: Page, served: str, task: Task) -> str | None:
    """Do a task; return what stood in its way, or print how long the pages took."""
    started = time.monotonic()
    page.goto(served)
    try:
        for step in task.steps:
            kind, _, name = step.partition(":")
            if kind == "fill":
                label, _, value = name.partition("=")
                page.get_by_label(label, exact=True).fill(value)
            else:
                target(page, kind, name).click()
        page.get_by_text(task.seen).first.wait_for(state="attached")
        print(f"{time.monotonic() - started:.2f} s: {task.name}")
    except Error as error:
        return f"at {page.url}: {error.message.splitlines()[0]}"
    return None
