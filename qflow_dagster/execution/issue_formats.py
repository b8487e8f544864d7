"""Read and write the issue JSON of Jira and GitHub, as their REST APIs return it; and all formats by their names."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import jira_text, text_fields
from qflow_dagster.execution.issues import (
    LEVELS,
    NO_DAY,
    STATES,
    Issue,
    criteria,
    due_date,
    new_issue,
    priority_name,
    read_csv,
    state_named,
    story_points,
    write_csv,
)
from qflow_dagster.safety.storable import read_json, storable_text

# What GitHub has no fields for is written into an issue's text, below this.
_JIRA_NAMES = {"story points": "points", "story point estimate": "points", "epic link": "epic"}
_HEADING = "Acceptance criteria:"
_MARK = "<!-- of the plan -->"
_NUMBER = re.compile(r"#(\d{1,9})")


def read(text: str, format_: str) -> list[Issue]:
    """Return the issues of a file; pull requests among GitHub's issues are left out.

    Raises:
        UsageError: it is not of that format, or a value in it is invalid; the message names the issue.
    """
    reader = FORMATS[format_][0]
    issues = list(reader(storable_text(text.removeprefix("\ufeff"))))
    counts: dict[str, int] = {}
    for issue in issues:
        counts[issue.key] = counts.get(issue.key, 0) + 1
    if repeated := [key for key, count in counts.items() if count > 1]:
        raise UsageError(
            f"{repeated[0]} is in the file {counts[repeated[0]]} times; each issue may be there once"
        )
    return issues


def write(issues: Sequence[Issue], format_: str) -> str:
    """Return issues as a file that `read` reads as the same issues."""
    return FORMATS[format_][1](issues)


def _json_rows(text: str, what: str) -> list[dict[str, Any]]:
    try:
        value = read_json(text)
    except ValueError as error:
        raise UsageError(f"the file is not JSON: {error}") from None
    if isinstance(value, dict):
        value = value.get("issues", value.get("items", [value]))
    if isinstance(value, list) and value and all(isinstance(page, list) for page in value):
        # As `gh api --paginate --slurp` prints them.
        value = [row for page in value for row in page]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise UsageError(f"the file has no list of issues as {what} returns them")
    return value


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _jira_fields(text: str) -> dict[str, list[str]]:
    """Return the custom fields of points and epics: by their names, if the file has them (`expand=names`)."""
    value = read_json(text)
    names = _object(value.get("names")) if isinstance(value, dict) else {}
    found: dict[str, list[str]] = {"points": ["customfield_10016"], "epic": ["customfield_10014"]}
    for field, name in names.items():
        if (meant := _JIRA_NAMES.get(str(name).lower())) and field not in found[meant]:
            found[meant].insert(0, field)
    return found


def _read_jira(text: str) -> Iterator[Issue]:
    rows = _json_rows(text, "Jira")
    custom = _jira_fields(text)
    for row in rows:
        fields, key = _object(row.get("fields")), str(row.get("key") or "")
        if not key or not fields:
            raise UsageError("an issue has no `key` or no `fields`: this is not what Jira returns for issues")
        status = _object(fields.get("status"))
        category = _object(status.get("statusCategory")).get("key")
        resolution = str(_object(fields.get("resolution")).get("name") or "").lower()
        cancelled = category == "done" and STATES.get(resolution) == "cancelled"
        owner = _object(fields.get("assignee"))
        links = [_object(link) for link in _list(fields.get("issuelinks")) if "inwardIssue" in _object(link)]
        waits = [
            str(_object(link["inwardIssue"]).get("key"))
            for link in links
            if "blocked by" in str(_object(link.get("type")).get("inward")).lower()
        ]
        description, acceptance = _apart(jira_text.prose(fields.get("description")).strip())
        kind = str(_object(fields.get("issuetype")).get("name") or "").lower()
        labels = [str(label) for label in _list(fields.get("labels"))]
        if kind == "bug" and "bug" not in labels:
            labels.append("bug")
        yield new_issue(
            key,
            fields.get("summary"),
            level=LEVELS.get(kind, "story"),
            description=description,
            state="cancelled"
            if cancelled
            else state_named(key, category if category in STATES else status.get("name")),
            parent=_object(fields.get("parent")).get("key")
            or _object(fields.get("epic")).get("key")
            or next((fields[name] for name in custom["epic"] if isinstance(fields.get(name), str)), None),
            owner=owner.get("name") or owner.get("emailAddress") or owner.get("displayName"),
            due=due_date(key, fields.get("duedate")),
            points=story_points(
                key, next((fields[name] for name in custom["points"] if fields.get(name) is not None), None)
            ),
            priority=priority_name(_object(fields.get("priority")).get("name")),
            labels=tuple(labels),
            depends_on=tuple(waits),
            acceptance=acceptance,
        )


def _apart(description: str) -> tuple[str, tuple[str, ...]]:
    """Return a description without the acceptance criteria that it ends with (`_described`), and these."""
    found = criteria(description)
    before, heading, stated = description.rpartition(f"{_HEADING}\n")
    if heading and criteria(f"{heading}{stated}") == found and len(stated.splitlines()) == len(found):
        return before.rstrip(), found
    return description, found


def _described(issue: Issue) -> str:
    """Return a description that states the acceptance criteria, which these formats have no field for."""
    if not issue.acceptance or criteria(issue.description) == issue.acceptance:
        return issue.description
    stated = "\n".join(f"- {' '.join(sentence.split())}" for sentence in issue.acceptance)
    return f"{issue.description}\n\n{_HEADING}\n{stated}".lstrip()


_CATEGORIES = {"open": "new", "in_progress": "indeterminate", "done": "done", "cancelled": "done"}


def _write_jira(issues: Sequence[Issue]) -> str:
    rows = [
        {
            "key": issue.key,
            "fields": {
                "summary": issue.title,
                "description": _described(issue),
                "issuetype": {"name": issue.level.title()},
                "status": {"name": issue.state, "statusCategory": {"key": _CATEGORIES[issue.state]}},
                "resolution": {"name": "Won't Do"} if issue.state == "cancelled" else None,
                "parent": {"key": issue.parent} if issue.parent else None,
                "assignee": {"name": issue.owner} if issue.owner else None,
                "duedate": issue.due and issue.due.isoformat(),
                "customfield_10016": issue.points,
                "priority": {"name": issue.priority.title()} if issue.priority else None,
                "labels": list(issue.labels),
                "issuelinks": [
                    {"type": {"inward": "is blocked by", "outward": "blocks"}, "inwardIssue": {"key": key}}
                    for key in issue.depends_on
                ],
            },
        }
        for issue in issues
    ]
    return json.dumps({"issues": rows}, indent=1, ensure_ascii=False) + "\n"


def _read_github(text: str) -> Iterator[Issue]:
    rows = [row for row in _json_rows(text, "GitHub") if "pull_request" not in row]
    keys = {str(row.get("number")): _github_key(row) for row in rows}
    for row in rows:
        key = _github_key(row)
        labels = [str(_object(label).get("name") or label) for label in _list(row.get("labels"))]
        levels = {label: LEVELS.get(label.lower().removeprefix("type:").strip()) for label in labels}
        # Labels as `priority: high`, because GitHub has no such fields.
        named = {name.lower(): value.strip() for name, _, value in (label.partition(":") for label in labels)}
        kind = str(_object(row.get("type")).get("name") or "").lower()
        reason = str(row.get("state_reason") or row.get("stateReason") or "").lower()
        closed = str(row.get("state") or "open").lower() == "closed"
        owners = [_object(row.get("assignee")), *map(_object, _list(row.get("assignees")))]
        milestone = _object(row.get("milestone"))
        body = str(row.get("body") or "").replace("\r\n", "\n")
        stated = text_fields.read(body.replace(_MARK, ""), NO_DAY)
        above = str(row.get("parent_issue_url") or "").rpartition("/")[2]
        parent = _object(row.get("parent")).get("number") or above
        waits = [number for phrase in stated.waits_for for number in _NUMBER.findall(phrase)]
        yield new_issue(
            key,
            row.get("title"),
            level=next((level for level in levels.values() if level), LEVELS.get(kind, "story")),
            description=body.partition(_MARK)[0].strip(),
            state=("cancelled" if STATES.get(reason) == "cancelled" else "done") if closed else "open",
            parent=keys.get(str(parent), f"#{parent}") if parent else None,
            owner=next((owner["login"] for owner in owners if owner.get("login")), None),
            due=due_date(key, milestone.get("due_on") or milestone.get("dueOn")),
            points=story_points(key, named["points"]) if "points" in named else stated.points,
            priority=priority_name(named.get("priority") or stated.priority),
            labels=tuple(
                label
                for label in labels
                if not levels[label] and label.partition(":")[0].lower() not in ("priority", "points")
            ),
            depends_on=tuple(keys.get(number, f"#{number}") for number in dict.fromkeys(waits)),
            acceptance=criteria(body.partition(_MARK)[2] or body),
        )


def _github_key(row: dict[str, Any]) -> str:
    key = row.get("html_url") or row.get("node_id") or row.get("id") or row.get("url")
    if not key or "number" not in row:
        raise UsageError(
            "an issue has no `number`, or neither `html_url` nor `id`: this is not what GitHub returns"
        )
    return str(key)


def _write_github(issues: Sequence[Issue]) -> str:
    numbers = {issue.key: number for number, issue in enumerate(issues, 1)}
    rows = []
    for issue in issues:
        stated = [f"Depends on #{numbers[key]}." for key in issue.depends_on if key in numbers]
        if issue.acceptance:
            stated += [_HEADING, *(f"- {sentence}" for sentence in issue.acceptance)]
        labels = [issue.level]
        labels += [f"priority: {issue.priority}"] if issue.priority else []
        labels += [f"points: {issue.points}"] if issue.points is not None else []
        due = issue.due and issue.due.isoformat()
        rows.append(
            {
                "number": numbers[issue.key],
                "node_id": issue.key,
                "title": issue.title,
                "body": "\n".join([issue.description, "", _MARK, *stated] if stated else [issue.description]),
                "state": "closed" if issue.state in ("done", "cancelled") else "open",
                "state_reason": {"done": "completed", "cancelled": "not_planned"}.get(issue.state),
                "labels": [{"name": name} for name in (*labels, *issue.labels)],
                "assignees": [{"login": issue.owner}] if issue.owner else [],
                "milestone": {"title": due, "due_on": due} if due else None,
                "parent": {"number": numbers[issue.parent]} if issue.parent in numbers else None,
            }
        )
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, tuple[Callable[[str], Iterator[Issue]], Callable[[Sequence[Issue]], str]]] = {
    "csv": (read_csv, write_csv),
    "jira": (_read_jira, _write_jira),
    "github": (_read_github, _write_github),
}
