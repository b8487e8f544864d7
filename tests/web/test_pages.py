"""The pages on a repository after the loop: each address answers, each link leads somewhere, no text becomes markup."""

import re
from collections.abc import Callable
from html import unescape
from itertools import permutations
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.execution import sparc
from qflow_dagster.infrastructure import error_rate_tracker
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence
from qflow_dagster.ingestion import suspects
from qflow_dagster.metrics import past
from qflow_dagster.web.goals import markdown
from qflow_dagster.web.pages import NAVIGATION, duration
from tests.improvement_loop import MUTABLE, NONE, Loop

HTML = {"Accept": "text/html"}
HOSTILE = '"><script>alert(1)</script>'
# Of the repository's code: a name of a file, of a function and of an author may be anything.
FILES = {
    "src/shop.py": MUTABLE
    + NONE
    + "\n\ndef worst(a, b):\n"
    + "".join(f"    if a > {n} and b < {n}:\n        return {n}\n" for n in range(9))
    + "    return None\n",
    "src/<b>&'\"#?%.py": f"# {HOSTILE}\nx = '\u202e{HOSTILE}'\n",
    "README.md": "# Shop\n",
    "empty.py": "",
    "picture.bin": b"\0\1\2",
}

# An error as an SDK reports it: the cause first, with the lines around each call.
FAILURE = Occurrence(
    operation="checkout",
    kind="OrderError",
    message="no order",
    exceptions=[
        {"type": "KeyError", "value": HOSTILE, "frames": [
            {"file": "src/shop.py", "line": 2, "function": "collect", "own": True, "platform": "python",
             "before": ["def collect(item, found=[]):"], "source": "    return [*found, item]", "after": [HOSTILE]},
            {"file": "lib/json.py", "line": 7, "function": "loads", "own": False, "platform": "python"}]},
        {"type": "OrderError", "value": "no order", "frames": [
            {"file": "src/missing.py", "line": 9, "function": "order", "own": True, "platform": "python"},
            {"file": "src/shop.py", "line": 4, "function": "missing", "own": True, "platform": "python"}]},
    ],
)  # fmt: skip


@pytest.fixture
def visit(client: TestClient) -> Callable[[str], str]:
    """The HTML of a page that must be there, small and without the hostile text as markup."""

    def get(path: str) -> str:
        response = client.get(path, headers=HTML)
        assert response.status_code == 200, f"{path}: {response.status_code}"
        assert len(response.content) < 100_000, path
        assert "<script>alert" not in response.text
        headings = re.findall(r"<(?:th|dt)[^>]*>([^<]*)<", response.text)
        assert not [name for name in headings if "_" in name], path
        return response.text

    return get


def links(page: str) -> set[str]:
    """The addresses of our own pages that a page links to."""
    found = {unescape(href).partition("#")[0] for href in re.findall(r'href="([^"]+)"', page)}
    return {href for href in found if href.startswith("/") and not href.startswith(("/static/", "/dagster"))}


def test_an_empty_installation_says_on_each_page_that_there_is_nothing_yet(
    visit: Callable[[str], str],
) -> None:
    for address, name in NAVIGATION.items():
        page = visit(address)
        assert f'<a href="{address}" aria-current="page">{name}</a>' in page
        assert "<h1" in page or address == "/approvals"
    home = visit("/")
    assert '<a class="status unknown" href="/health" aria-label="Health unknown">' in home
    assert "Nothing needs attention." in home
    assert "No repository is registered." in home


def test_every_link_of_every_page_leads_to_a_page(
    engine: Engine, loop: Loop, visit: Callable[[str], str], ask: Callable[..., UUID]
) -> None:
    """The whole site as a person could walk it: with changes, errors, goals and workflows, some of them hostile."""
    loop.repository.commit(FILES, HOSTILE, (HOSTILE.replace("<", "(").replace(">", ")"), "a@example.com"))
    loop.repository.commit({"src/shop.py": FILES["src/shop.py"] + "\n\nlast = 1\n"})
    [*suggestions] = loop.improve()
    assert suggestions
    loop.approve(suggestions[0])
    loop.apply()
    ask(target=HOSTILE, reason=HOSTILE)
    with engine.begin() as connection:
        for _ in range(3):
            connection.execute(
                text(
                    "INSERT INTO error_occurrences (operation, kind, message, stack) VALUES (:x, 'E', :x, :x)"
                ),
                {"x": HOSTILE},
            )
        error_rate_tracker.track_errors(connection, [FAILURE])
        sparc.start(
            connection,
            requested_by="ada",
            repository=loop.name,
            description="cognitive complexity of src/shop.py below 5",
        )

    suspects.analyze_errors(engine)

    seen: set[str] = set()
    waiting = {"/"}
    while waiting:
        address = waiting.pop()
        seen.add(address)
        new = links(visit(address)) - seen
        # Filters multiply: one of each kind of list is followed.
        waiting |= {
            link for link in new if "?" not in link or "/files/" in link or link.split("?")[0] not in seen
        }
    kinds = {re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", link.split("?")[0]) for link in seen}
    assert {
        "/repositories/project",
        "/repositories/project/findings/ID",
        "/repositories/project/plan",
        "/repositories/project/files/src/shop.py",
        "/rules/python/mutable-default",
        "/work/ID",
        "/changes/ID",
        "/approvals/ID",
        "/errors/ID",
        "/goals/ID",
        "/workflows/ID",
    } <= kinds

    page = visit("/repositories/project")
    assert "src/shop.py" in page
    assert "aria-label='Where complex code changes often" in page
    assert "<a href='/repositories/project/files/src/shop.py'><g><title>src/shop.py" in page
    [error] = [link for link in seen if link.startswith("/errors/") and "OrderError" in visit(link)]
    page = visit(error)
    assert page.index("OrderError: no order") < page.index("caused by</span> KeyError")
    assert "1 frame of libraries" in page
    assert '<a href="/repositories/project/files/src/shop.py#L2"><code>src/shop.py:2</code></a>' in page
    assert "<code>src/missing.py:9</code>" in page
    assert '<tr class="here"><td class="number">2</td><td><code>    <span class="keyword">return' in page
    assert f"/changes/{suggestions[1]['id']}" in page
    home = visit("/")
    assert "2 open problems." in home
    assert '>applied</dt><dd><a href="/changes">1<' in home
    [goal] = [link for link in seen if link.startswith("/goals/")]
    assert re.search(
        r"aria-label='Phases, a row for each round'>.*<a href='/workflows/[0-9a-f-]{36}'><g>", visit(goal)
    )
    function = visit("/repositories/project/files/src/shop.py?function=worst")
    assert "cognitive" in function
    assert '<span class="keyword">def</span>' in function
    [hostile] = [
        link for link in seen if "%3Cb%3E" in link and link.startswith("/repositories/project/files/")
    ]
    assert "U+202E" in visit(hostile)
    assert "It is not text" in visit("/repositories/project/files/picture.bin")
    change = visit(f"/changes/{suggestions[0]['id']}")
    assert "verified" in change
    assert "all of them were verified just now" in visit(f"/workflows/{suggestions[0]['id']}")


def test_complexity_is_shown_over_the_past_from_before_the_repository_was_registered(
    engine: Engine, loop: Loop, visit: Callable[[str], str]
) -> None:
    before = [loop.repository.commit({"src/shop.py": MUTABLE * n}) for n in (1, 2)]
    loop.repository.commit({"src/shop.py": MUTABLE * 3})
    loop.improve()
    page = visit("/repositories/project")
    assert "older ones are measured while" in page
    assert not any(commit[:10] in page for commit in before)
    with engine.connect() as connection:
        [repository_id] = past.pending(connection)
    past.measure_past(engine, repository_id)
    page = visit("/repositories/project")
    assert all(commit[:10] in page for commit in before)
    assert "aria-label='Lines of code (bars), cognitive complexity" in page


def test_an_earlier_commit_is_shown_as_it_was(
    loop: Loop, visit: Callable[[str], str], client: TestClient
) -> None:
    loop.repository.commit({"src/shop.py": FILES["src/shop.py"], "src/old.py": "x = 1\n"})
    loop.find()
    loop.repository.commit({"src/shop.py": "import src.cart\n", "src/cart.py": "import src.shop\n"})
    loop.find()
    page = visit("/repositories/project")
    earlier, current = re.findall(r'href="(/repositories/project\?at=[0-9a-f]{10})"', page)[::-1]
    assert visit(current) == page
    page = visit(earlier)
    assert f"project at {earlier[-10:]}" in page
    assert "?function=worst" in page
    assert "src/cart.py" not in page
    for at in ("0123456789", "x", "%00", "'"):
        assert client.get(f"/repositories/project?at={at}", headers=HTML).status_code == 404


def test_numbers_lead_to_what_they_count(loop: Loop, visit: Callable[[str], str]) -> None:
    kinds = (
        "total += 1",
        "total = f(total, [2])",
        "if total: total = {}",
        "total = lambda x: -x",
        "assert total > 3",
    )
    long = "".join(f"    {line}\n" for order in permutations(kinds, 4) for line in order)
    loop.repository.commit(
        {
            "src/shop.py": f"from src import cart\n\n\ndef shop(total):\n{long}    return total\n",
            "src/cart.py": f"from src import shop\n\n\ndef cart(total):\n{long}    return total\n",
            "src/__init__.py": "",
            "src/mutable.py": MUTABLE,
        }
    )
    loop.improve()
    page = visit("/repositories/project")
    assert re.findall(r"<li><b>[1-9][^<]*</b>", page) == []
    for link in re.findall(r'<li><b><a href="([^"]+)"', page):
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in page
        else:
            visit(link)
    for only in ("cycles", "copies"):
        listed = visit(f"/repositories/project/files?only={only}")
        assert "src/cart.py" in listed
        assert "src/mutable.py" not in listed
    assert '<td data-label="pending changes" class="number"><a href="/changes?repository=project' in visit(
        "/"
    )


def test_what_is_not_there_is_404_with_a_sentence(client: TestClient) -> None:
    lists = ("changes", "goals", "errors", "workflows", "work", "approvals")
    for path in (
        "/repositories/none",
        "/repositories/none/files/../../etc/passwd",
        "/rules/none/such",
        "/agents/none",
        "/changes?repository=none",
        "/nowhere",
        *(f"/{name}/{UUID(int=1)}" for name in lists),
    ):
        response = client.get(path, headers=HTML)
        assert response.status_code == 404, path
        assert 'aria-label="Pages"' in response.text


def test_nonsense_in_the_address_is_ignored(client: TestClient) -> None:
    for path in (
        "/workflows?type=a%00b&status=%F0%9F%92%A9&before=x",
        "/errors?state=party",
        "/goals?state=%00",
        "/rules?category=a&level=b&language=%00",
        "/changes?state=x",
    ):
        assert client.get(path, headers=HTML).status_code == 200, path


def test_markdown_of_artifacts_loads_nothing_and_runs_nothing() -> None:
    html = markdown(
        f"# Goal\n{HOSTILE}\n![x](https://evil.example/p.png)\n[a](javascript:alert(1)) **bold** `code`"
    )
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert "<strong>bold</strong>" in html


def test_times_are_shown_with_their_largest_unit() -> None:
    assert [duration(seconds) for seconds in (None, 0.25, 59.4, 60, 7200, 200_000)] == [
        "", "0.2 s", "59 s", "1 min", "2 h", "2 d",
    ]  # fmt: skip
