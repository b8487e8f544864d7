"""Issues of CSV, Jira and GitHub become work items and come back; what cannot be taken over is said."""

import json
import re
from datetime import date, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import issue_exchange, issue_formats, iterations, plan_history, work_items
from qflow_dagster.execution.issues import Issue
from qflow_dagster.execution.plan_history import Day, Planned, Started
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.pictures import plan as pictures

JIRA = {
    "issues": [
        {
            "key": "PAY-1",
            "fields": {
                "summary": "Accept cards of more banks",
                "issuetype": {"name": "Epic"},
                "status": {"name": "Doing", "statusCategory": {"key": "indeterminate"}},
            },
        },
        {
            "key": "PAY-2",
            "fields": {
                "summary": "Charge is sent twice when the bank answers late",
                "issuetype": {"name": "Bug"},
                "status": {"name": "Selected", "statusCategory": {"key": "indeterminate"}},
                "parent": {"key": "PAY-1"},
                "assignee": {"displayName": "Ada L.", "emailAddress": "ada@example.org"},
                "duedate": "2030-05-01",
                "customfield_10016": 5.0,
                "priority": {"name": "Blocker"},
                "labels": ["billing"],
                "description": {
                    "type": "doc",
                    "content": [
                        {"type": "paragraph", "content": [{"type": "text", "text": "Seen in March."}]},
                        {"type": "heading", "content": [{"type": "text", "text": "Acceptance criteria:"}]},
                        {
                            "type": "bulletList",
                            "content": [
                                {
                                    "type": "listItem",
                                    "content": [
                                        {
                                            "type": "paragraph",
                                            "content": [{"type": "text", "text": "one charge"}],
                                        }
                                    ],
                                }
                            ],
                        },
                    ],
                },
                "issuelinks": [
                    {"type": {"inward": "is blocked by"}, "inwardIssue": {"key": "PAY-3"}},
                    {"type": {"inward": "is blocked by"}, "inwardIssue": {"key": "OPS-9"}},
                    {"type": {"inward": "is cloned by"}, "inwardIssue": {"key": "PAY-4"}},
                    {"type": {"inward": "is blocked by"}, "outwardIssue": {"key": "PAY-4"}},
                ],
            },
        },
        {
            "key": "PAY-3",
            "fields": {
                "summary": "Keep the bank's answer",
                "issuetype": {"name": "Sub-task"},
                "parent": {"key": "PAY-2"},
                "status": {"statusCategory": {"key": "new"}},
            },
        },
        {
            "key": "PAY-4",
            "fields": {
                "summary": "Dark mode",
                "issuetype": {"name": "Story"},
                "status": {"statusCategory": {"key": "done"}},
                "resolution": {"name": "Won't Do"},
            },
        },
    ]
}
GITHUB = [
    {
        "number": 7,
        "html_url": "https://github.com/o/r/issues/7",
        "title": "Plugins",
        "body": None,
        "state": "open",
        "labels": [{"name": "epic"}, {"name": "api"}],
    },
    {
        "number": 12,
        "html_url": "https://github.com/o/r/issues/12",
        "title": "Load plugins lazily",
        "body": "Start is slow.\n\nDepends on #13.\n\nAcceptance criteria:\n- start below 100 ms\n",
        "state": "OPEN",
        "labels": [{"name": "priority: high"}],
        "assignees": [{"login": "ada"}],
        "milestone": {"due_on": "2030-06-30T07:00:00Z"},
        "parent_issue_url": "https://api.github.com/repos/o/r/issues/7",
    },
    {"number": 13, "html_url": "https://github.com/o/r/issues/13", "title": "List plugins", "state": "open"},
    {"number": 14, "id": 1, "title": "A pull request", "state": "open", "pull_request": {}},
    {
        "number": 15,
        "id": "I_k",
        "title": "No",
        "state": "closed",
        "state_reason": "not_planned",
    },
]


def by_title(connection: Connection) -> dict[str, dict]:
    rows = connection.execute(text("SELECT id, title FROM work_items")).all()
    return {row.title: work_items.show(connection, row.id) for row in rows}


def test_issues_of_jira_and_github_are_read() -> None:
    [epic, bug, subtask, refused] = issue_formats.read(json.dumps(JIRA), "jira")
    assert (epic.level, bug.level, subtask.level) == ("epic", "story", "story")
    assert (bug.state, subtask.state, refused.state) == ("in_progress", "open", "cancelled")
    assert (bug.owner, bug.due, bug.points, bug.priority) == (
        "ada@example.org",
        date(2030, 5, 1),
        5,
        "critical",
    )
    assert (bug.labels, bug.depends_on, bug.acceptance) == (
        ("billing", "bug"),
        ("PAY-3", "OPS-9"),
        ("one charge",),
    )
    [plugins, lazily, _, no] = issue_formats.read(json.dumps(GITHUB), "github")
    assert (plugins.level, plugins.labels, no.state) == ("epic", ("api",), "cancelled")
    assert (lazily.owner, lazily.due, lazily.priority) == ("ada", date(2030, 6, 30), "high")
    assert (lazily.parent, lazily.depends_on) == (GITHUB[0]["html_url"], (GITHUB[2]["html_url"],))
    assert lazily.acceptance == ("start below 100 ms",)


# What Jira exports as CSV: repeated headings, parents by number, statuses of a project's own, dates of its own.
JIRA_CSV = """\
Summary,Issue key,Issue id,Issue Type,Status,Status Category,Priority,Resolution,Assignee,Due date,Labels,Labels,\
Inward issue link (Blocks),Custom field (Story Points),Custom field (Epic Link),Parent,Parent key,Description
Checkout,SHOP-1,10001,Epic,To Do,To Do,High,,,,,,,,,,,
Pay by card,SHOP-2,10002,Story,Peer check,In Progress,Highest,,ana,30/Sep/26 12:00 AM,payment,backend,SHOP-3,5.0,,10001,,
Token expires,SHOP-3,10003,Bug,Selected for Development,To Do,Low,,,11/May/24,,,,,SHOP-1,,,"h3. Acceptance criteria
* it is renewed"
Old idea,SHOP-4,10004,Story,Closed,Done,Low,Won't Do,,,,,,,,10001,SHOP-1,
"""


def test_jiras_csv_is_read_as_jira_writes_it() -> None:
    [epic, card, token, idea] = issue_formats.read(JIRA_CSV, "csv")
    assert (epic.key, epic.level, epic.parent) == ("SHOP-1", "epic", None)
    assert (card.state, card.parent, card.points, card.due) == ("in_progress", "SHOP-1", 5, date(2026, 9, 30))
    assert (card.labels, card.depends_on, card.owner) == (("payment", "backend"), ("SHOP-3",), "ana")
    assert (token.state, token.parent, token.labels, token.due) == (
        "open",
        "SHOP-1",
        ("bug",),
        date(2024, 5, 11),
    )
    assert token.acceptance == ("it is renewed",)
    assert (idea.state, idea.parent) == ("cancelled", "SHOP-1")


def adf(*content: dict) -> dict:
    return {"type": "doc", "version": 1, "content": list(content)}


def test_fields_of_jira_are_known_by_name_and_documents_keep_lists_boxes_and_code() -> None:
    def paragraph(*inline: dict) -> dict:
        return {"type": "paragraph", "content": list(inline)}

    fields = {
        "summary": "Bulk edit",
        "issuetype": {"name": "Story"},
        "status": {"name": "Backlog", "statusCategory": {"key": "undefined"}},
        "customfield_10026": 8.0,
        "customfield_10016": None,
        "customfield_10014": "SHOP-1",
        "description": adf(
            paragraph(
                {"type": "text", "text": "Ask "},
                {"type": "mention", "attrs": {"id": "5b", "text": "@Ada"}},
                {"type": "hardBreak"},
                {"type": "inlineCard", "attrs": {"url": "https://example.org/d"}},
            ),
            {"type": "codeBlock", "content": [{"type": "text", "text": "- [ ] no criterion"}]},
            {
                "type": "taskList",
                "content": [
                    {
                        "type": "taskItem",
                        "attrs": {"state": "TODO"},
                        "content": [{"type": "text", "text": "500 rows"}],
                    },
                    {
                        "type": "taskItem",
                        "attrs": {"state": "DONE"},
                        "content": [{"type": "text", "text": "undo"}],
                    },
                ],
            },
        ),
    }
    page = {"names": {"customfield_10026": "Story Points"}, "issues": [{"key": "SHOP-9", "fields": fields}]}
    [issue] = issue_formats.read(json.dumps(page), "jira")
    assert (issue.state, issue.points, issue.parent) == ("open", 8, "SHOP-1")
    assert issue.acceptance == ("500 rows", "undo")
    assert issue.description.startswith("Ask @Ada\nhttps://example.org/d\n```\n- [ ] no criterion\n```")


def test_pages_of_gh_and_what_it_prints_as_json_are_read() -> None:
    pages = [[GITHUB[0]], [GITHUB[2]]]
    assert [issue.title for issue in issue_formats.read(json.dumps(pages), "github")] == [
        "Plugins",
        "List plugins",
    ]
    row = {
        "number": 3,
        "url": "https://github.com/o/r/issues/3",
        "title": "Cache",
        "body": "Slow.\r\n\r\n- [ ] below 10 ms\r\n",
        "state": "CLOSED",
        "stateReason": "NOT_PLANNED",
        "milestone": {"title": "v2", "dueOn": "2030-01-31T00:00:00Z"},
    }
    [issue] = issue_formats.read(json.dumps([row]), "github")
    assert (issue.key, issue.state, issue.due) == (row["url"], "cancelled", date(2030, 1, 31))
    assert (issue.acceptance, issue.description) == (("below 10 ms",), "Slow.\n\n- [ ] below 10 ms")


_text = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=9
)
_label = st.text("abcxyz-", min_size=1, max_size=6).map(lambda name: f"l{name}")
_issues = st.lists(
    st.builds(
        Issue,
        key=st.integers(1, 999).map(lambda n: f"K-{n}"),
        title=_text,
        level=st.sampled_from(work_items.LEVELS),
        state=st.sampled_from(("open", "done", "cancelled")),
        due=st.none() | st.dates(date(2000, 1, 1)),
        points=st.none() | st.integers(0, 99),
        priority=st.none() | st.sampled_from(("high", "low")),
        owner=st.none() | _label,
        labels=st.lists(_label, unique=True, max_size=3).map(tuple),
    ),
    max_size=4,
    unique_by=lambda issue: issue.key,
)


@pytest.mark.parametrize("format_", issue_formats.FORMATS)
@settings(max_examples=40)
@given(_issues)
def test_what_is_written_is_read_again(format_: str, issues: list[Issue]) -> None:
    issues = [
        Issue(**{**vars(issue), "depends_on": tuple(other.key for other in issues[:number])})
        for number, issue in enumerate(issues)
    ]
    assert issue_formats.read(issue_formats.write(issues, format_), format_) == issues


def test_values_of_another_type_are_not_stated() -> None:
    fields = {
        "summary": "x",
        "labels": 5,
        "issuelinks": 1,
        "description": {"type": "doc", "content": 3},
        "status": 2,
    }
    [issue] = issue_formats.read(json.dumps({"key": "A", "fields": fields}), "jira")
    [other] = issue_formats.read(
        '{"number": 1, "id": "A", "title": "x", "labels": 5, "assignees": "me"}', "github"
    )
    assert issue == other == Issue(key="A", title="x")


@pytest.mark.parametrize("before", ["", " ", "\t"])
@pytest.mark.parametrize("equals", ["=", "\uff1d"])
def test_a_spreadsheet_computes_no_cell(before: str, equals: str) -> None:
    issue = Issue(key="A-1", title=f"{before}{equals}1+1", description="-1", labels=("@x",))
    written = issue_formats.write([issue], "csv")
    cells = [cell.strip() for cell in written.splitlines()[1].split(",")]
    assert not any(cell.startswith(("=", "\uff1d", "-", "@")) for cell in cells)
    [read] = issue_formats.read(written, "csv")
    assert (read.title.strip(), read.description, read.labels) == (f"{equals}1+1", "-1", ("@x",))


@pytest.mark.parametrize(
    ("content", "format_", "message"),
    [
        ("a,b\n1,2\n", "csv", "no column `title`"),
        ("", "csv", "no column `title`"),
        ("id,title\nA,\n", "csv", "A has no title"),
        ("id,title,due\nA,x,soon\n", "csv", "A: the due date 'soon'"),
        ("id,title,points\nA,x,many\n", "csv", "A: points must be a number"),
        ("id,title,points\nA,x,nan\n", "csv", "A: points must be a number"),
        ("id,title,state\nA,x,maybe\n", "csv", "A: unknown state 'maybe'"),
        ("id,title\nA,x\nA,y\n", "csv", "A is in the file 2 times"),
        ("<html>", "jira", "not JSON"),
        ("[1]", "github", "no list of issues"),
        ('[{"title": "x"}]', "jira", "no `key` or no `fields`"),
        ('[{"title": "x", "number": 1}]', "github", "neither `html_url` nor `id`"),
    ],
)
def test_what_is_wrong_is_named(content: str, format_: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        issue_formats.read(content, format_)


def test_issues_become_work_items_once_and_are_updated_afterwards(engine: Engine) -> None:
    issues = issue_formats.read(json.dumps(JIRA), "jira")
    with engine.begin() as connection:
        result = issue_exchange.import_issues(connection, issues, "jira", actor="ada")
        assert (result.created, result.closed) == (3, 1)
        assert result.notes == ["PAY-2: it depends on OPS-9, which is not in the plan"]
        items = by_title(connection)
        epic, bug = (
            items["Accept cards of more banks"],
            items["Charge is sent twice when the bank answers late"],
        )
        subtask = items["Keep the bank's answer"]
        assert (epic["state"], bug["state"], subtask["state"]) == ("implementation", "in_progress", "backlog")
        # A subtask is a story too, so it stands under the epic.
        assert bug["parent_id"] == subtask["parent_id"] == epic["id"]
        assert bug["remaining_dependencies"] == 1
        assert bug["wsjf"] > subtask["wsjf"]
        # Relative to the smallest of the plan, which is 2.
        risk = bug["inputs"]["risk_reduction"]
        assert (risk["stated"], risk["value"]) == (5, 2)

        again = issue_exchange.import_issues(connection, issues, "jira", actor="ada")
        assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
        exported = issue_exchange.export_issues(connection, "jira")
        assert {issue.key for issue in exported} >= {"PAY-1", "PAY-2", "PAY-3"}

        changed = [
            Issue(**{**vars(issue), "points": 13, "state": "done" if issue.key == "PAY-3" else issue.state})
            for issue in issues
        ]
        result = issue_exchange.import_issues(connection, changed, "jira", actor="bob")
        assert (result.created, result.updated) == (0, 3)
        now = work_items.show(connection, bug["id"])
        size = now["inputs"]["job_size"]
        # All three have 13 points, so each is as large as the smallest.
        assert (now["points"], size["stated"], size["value"]) == (13, 13, 1)
        assert now["remaining_dependencies"] == 0
        assert now["history"][-1]["data"]["points"] == {"from": 5, "to": 13}
        assert work_items.show(connection, subtask["id"])["state"] == "done"
        assert issue_exchange.import_issues(connection, changed, "jira", actor="bob").unchanged == 3


def test_an_export_is_edited_and_imported_again(engine: Engine) -> None:
    with engine.begin() as connection:
        [item] = work_items.create(
            connection,
            [NewItem(level="feature", title="Undo", labels=("ui",), acceptance=("a", "b"))],
            actor="ada",
        )
        [other] = work_items.create(connection, [NewItem(level="feature", title="Redo")], actor="ada")
        work_items.depend(connection, other, [item])
        for format_ in issue_formats.FORMATS:
            written = issue_formats.write(issue_exchange.export_issues(connection, format_), format_)
            read = issue_formats.read(re.sub("Undo[a-z ]*", f"Undo by {format_}", written), format_)
            assert {issue.key: issue.depends_on for issue in read}[str(other)] == (str(item),)
            result = issue_exchange.import_issues(connection, read, format_, actor="ada")
            assert (result.created, result.notes) == (0, [])
            row = work_items.show(connection, item)
            assert (row["title"], row["labels"], row["acceptance"]) == (
                f"Undo by {format_}",
                ["ui"],
                ["a", "b"],
            )
        # A cycle is left out, and the rest is imported.
        cycle = [Issue(key=str(item), title="Undo", level="feature", depends_on=(str(other),))]
        result = issue_exchange.import_issues(connection, cycle, "csv", actor="ada")
        assert result.notes[0].startswith(f"{item}: its dependency on {other} is left out")


def test_the_plan_is_drawn_from_its_history(engine: Engine) -> None:
    with engine.begin() as connection:
        today = connection.scalars(text("SELECT current_date")).one()
        [epic] = work_items.create(connection, [NewItem(level="epic", title="<Search>")], actor="ada")
        new = [NewItem(level="feature", title=f"f{n}", parent_id=epic) for n in range(4)]
        new.append(NewItem(level="feature", title="f4", parent_id=epic, due=today + timedelta(days=40)))
        ids = work_items.create(connection, new, actor="ada")
        work_items.move(connection, ids[:3], "in_progress", actor="ada")
        work_items.move(connection, ids[:1], "done", actor="ada")
        work_items.move(connection, ids[3:4], "cancelled", actor="ada")
        flow = plan_history.flow(connection, days=3)
        assert [row[1:] for row in flow] == [(0, 0, 0), (0, 0, 0), (1, 2, 1)]
        assert flow[-1].day == today
        started, done = plan_history.aging(connection)
        assert {row.title for row in started} == {"f1", "f2"}
        assert len(done) == 1
        iterations.save(connection, "1", today, today + timedelta(days=13))
        iterations.schedule(connection, ids[1], "1", actor="ada")
        plan = plan_history.roadmap(connection)
        assert plan == [Planned("<Search>", today, today + timedelta(days=40), 4, 1)]


def test_pictures_are_well_formed_and_to_scale() -> None:
    today = date(2026, 3, 10)
    flow = [Day(today + timedelta(days=n), 10 - n, n, 3 * n) for n in range(5)]
    plan = [Planned("<Search>", today, today + timedelta(days=9), 4, 1), Planned("Due", None, today, 0, 0)]
    aged = [Started("old", 20.0), Started("new", 1.0)]
    drawn = [
        pictures.burn_up(flow),
        pictures.cumulative_flow(flow),
        pictures.roadmap(plan, today),
        pictures.aging(aged, [1.0, 2.0, 3.0]),
        pictures.burn_up([]),
        pictures.cumulative_flow([]),
        pictures.roadmap([], today),
        pictures.aging([], []),
    ]
    for svg in drawn:
        ElementTree.fromstring(svg)
    assert "scope (22)" in drawn[0]
    assert "done (12)" in drawn[0]
    assert "in progress (4)" in drawn[1]
    bars = [
        float(node.get("width", "0")) for node in ElementTree.fromstring(drawn[2]).iter() if node.get("rx")
    ]
    assert bars[1] == pytest.approx(bars[0] / 4, abs=0.1)
    ages = [
        float(node.get("width", "0")) for node in ElementTree.fromstring(drawn[3]).iter() if node.get("rx")
    ]
    assert ages[0] == pytest.approx(20 * ages[1], abs=1)
