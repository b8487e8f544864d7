"""Hold what a file says of an issue; read and write issues as CSV.

Does not belong here: the JSON of Jira and GitHub (`issue_formats`), what becomes of issues in the plan
(`issue_exchange`).
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import jira_text, text_fields
from qflow_dagster.safety.display import is_formula

ISSUE_STATES = ("open", "in_progress", "done", "cancelled")
MAX_TITLE = 500
COLUMNS = (
    "id", "level", "title", "description", "state", "parent", "owner", "due", "points", "priority", "labels",
    "depends_on", "acceptance",
)  # fmt: skip
# Headings of Jira's CSV export, and others in use.
_HEADINGS = {
    "issue key": "id", "key": "id", "issue type": "level", "type": "level", "summary": "title", "name": "title",
    "status": "state", "assignee": "owner", "due date": "due", "story points": "points", "parent key": "parent",
    "depends on": "depends_on", "acceptance criteria": "acceptance", "issue id": "number",
    "custom field (story points)": "points", "custom field (story point estimate)": "points",
    "custom field (epic link)": "parent", "inward issue link (blocks)": "depends_on",
}  # fmt: skip
LEVELS = {
    "theme": "theme", "initiative": "theme", "epic": "epic", "capability": "capability", "feature": "feature",
    "new feature": "story", "story": "story", "user story": "story",
}  # fmt: skip
STATES = {
    "open": "open", "backlog": "open", "to do": "open", "todo": "open", "new": "open", "reopened": "open",
    "in progress": "in_progress", "indeterminate": "in_progress", "in review": "in_progress",
    "done": "done", "closed": "done", "resolved": "done", "completed": "done",
    "cancelled": "cancelled", "canceled": "cancelled", "not_planned": "cancelled", "duplicate": "cancelled",
    "selected for development": "open", "ready": "open", "blocked": "in_progress", "in development": "in_progress",
    "in testing": "in_progress", "in qa": "in_progress", "code review": "in_progress",
    "won't do": "cancelled", "won't fix": "cancelled", "wont do": "cancelled", "declined": "cancelled",
    "active": "open", "ideation": "open", "analysis": "open", "analyzing": "open",
    "implementation": "in_progress", "implementing": "in_progress", "validating": "in_progress",
}  # fmt: skip
# The day that days without a year in a text would be counted from; no such day is read of an issue.
NO_DAY = date(2000, 1, 1)
# Priorities of older Jira projects.
_JIRA_DAY = re.compile(r"\d{1,2}/[A-Z][a-z]{2}/\d{2}(?= |$)")
_PRIORITIES = {"blocker": "critical", "major": "high", "minor": "low", "trivial": "lowest"}


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An issue of a file: `key` is what the file calls it, as `parent` and `depends_on` do."""

    key: str
    title: str
    level: str = "story"
    description: str = ""
    state: str = "open"
    parent: str | None = None
    owner: str | None = None
    due: date | None = None
    points: int | None = None
    priority: str | None = None
    labels: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    acceptance: tuple[str, ...] = ()


def state_of(status: str) -> str:
    """Return the state that an item in a state of its level has in a file."""
    return STATES[status.replace("in_progress", "in progress")]


def new_issue(key: str, title: object, **values: Any) -> Issue:
    """Return an issue with its title on one line.

    Raises:
        UsageError: it is invalid; `key` names the issue.
    """
    name = " ".join(str(title or "").split())
    if not name:
        raise UsageError(f"{key} has no title")
    return Issue(key=key, title=name[:MAX_TITLE], **values)


def criteria(description: str) -> tuple[str, ...]:
    """Return the acceptance criteria that a description states."""
    return tuple(text_fields.read(jira_text.without_wiki_markup(description), NO_DAY).acceptance)


def state_named(key: str, value: object) -> str:
    """Return the state that a name means.

    Raises:
        UsageError: it is invalid; `key` names the issue.
    """
    state = STATES.get(str(value or "open").strip().lower().replace("in_progress", "in progress"))
    if state is None:
        raise UsageError(f"{key}: unknown state {str(value)!r}; write {', '.join(ISSUE_STATES)}")
    return state


def due_date(key: str, value: object) -> date | None:
    """Return the day of an ISO date or time; None where there is none.

    Raises:
        UsageError: it is invalid; `key` names the issue.
    """
    if not value:
        return None
    day = str(value).strip()
    try:
        # Jira's CSV has 31/Dec/26 12:00 AM.
        english = _JIRA_DAY.match(day)
        return datetime.strptime(english[0], "%d/%b/%y").date() if english else date.fromisoformat(day[:10])
    except ValueError:
        raise UsageError(f"{key}: the due date {str(value)!r} is not written as 2026-12-31") from None


def priority_name(value: object) -> str | None:
    """Return a priority in lower case, with the names of older Jira projects replaced."""
    name = str(value or "").strip().lower()
    return _PRIORITIES.get(name, name) or None


def story_points(key: str, value: object) -> int | None:
    """Return points as a whole number; None where there are none.

    Raises:
        UsageError: it is invalid; `key` names the issue.
    """
    if value in (None, ""):
        return None
    try:
        points = float(str(value))
    except ValueError:
        points = -1.0
    if not 0 <= points <= 1_000:
        raise UsageError(f"{key}: points must be a number from 0 to 1,000, not {str(value)!r}")
    return round(points)


def read_csv(text: str) -> Iterator[Issue]:
    """Yield the issues of a CSV file with headings; headings of Jira's export are understood too."""
    rows = csv.reader(io.StringIO(text))
    try:
        headings = [_heading(name) for name in next(rows, [])]
        table = list(rows)
    except csv.Error as error:
        raise UsageError(f"the file is not CSV: line {rows.line_num}: {error}") from None
    if "title" not in headings:
        raise UsageError(f"the first line has no column `title`; columns: {', '.join(COLUMNS)}")
    keys = dict(_keys_of_numbers(headings, table))
    for number, cells in enumerate(table, 2):
        if not any(cells):
            continue
        # Jira repeats a heading for each label.
        row: dict[str, list[str]] = {}
        for heading, cell in zip(headings, cells, strict=False):
            if cell.strip():
                row.setdefault(heading, []).append(_plain(cell))
        values = {name: (parts[0] if (parts := row.get(name)) else "") for name in COLUMNS}
        key = values["id"] or values["title"] or f"line {number}"
        category = (row.get("status category") or [""])[0].lower()
        level = values["level"].lower()
        lists = {
            name: tuple(
                part.strip()
                for cell in row.get(name, ())
                for part in cell.split("\n" if name == "acceptance" else ";")
                if part.strip()
            )
            for name in ("labels", "depends_on", "acceptance")
        }
        if "acceptance" not in headings:
            lists["acceptance"] = criteria(values["description"])
        if level == "bug" and "bug" not in lists["labels"]:
            lists["labels"] = (*lists["labels"], "bug")
        state = values["state"].lower()
        if STATES.get(state) == "done":
            resolution = (row.get("resolution") or [""])[0].lower()
            state = "cancelled" if STATES.get(resolution) == "cancelled" else state
        yield new_issue(
            key,
            values["title"],
            level=LEVELS.get(level, "story"),
            description=values["description"],
            state=state_named(key, category if category in STATES and state not in STATES else state),
            # Jira's column Parent has numbers.
            parent=keys.get(values["parent"], values["parent"]) or None,
            owner=values["owner"] or None,
            due=due_date(key, values["due"]),
            points=story_points(key, values["points"]),
            priority=priority_name(values["priority"]),
            **lists,
        )


def _keys_of_numbers(headings: Sequence[str], table: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield the number and the key of each issue, where a file has both."""
    if "number" in headings and "id" in headings:
        number, key = headings.index("number"), headings.index("id")
        yield from ((cells[number], cells[key]) for cells in table if len(cells) > max(number, key))


def _heading(name: str) -> str:
    name = name.strip().lower()
    return _HEADINGS.get(name, name)


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and is_formula(cell[1:]) else cell


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if is_formula(text) else text


def write_csv(issues: Sequence[Issue]) -> str:
    """Return issues as CSV; no cell begins as a formula does."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue in issues:
        values = {
            **vars(issue),
            "id": issue.key,
            "labels": "; ".join(issue.labels),
            "depends_on": "; ".join(issue.depends_on),
            "acceptance": "\n".join(issue.acceptance),
        }
        writer.writerow([_cell(values[name]) for name in COLUMNS])
    return out.getvalue()
