"""A request on the terminal: the same sentences as on its page.

Does not belong here: commands (`cli.approvals`).
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from qflow_dagster.agents.request_description import describe
from qflow_dagster.agents.request_progress import progress
from qflow_dagster.cli.output import console, print_code, print_fields, print_rows
from qflow_dagster.safety.display import visible_json


def print_approval(connection: Connection, approval: dict[str, Any]) -> None:
    """Print everything that a decision is about: what it asks for, what was checked, and the complete content."""
    description = describe(connection, approval)
    hidden = (
        "content",
        "evidence",
        "decisions",
        "comments",
        "delegations",
        "form",
        "repository",
        "rule",
        "risk",
    )
    print_fields(
        {name: value for name, value in approval.items() if name not in hidden and value is not None}
    )
    sentences = {
        "what": description.what,
        "why": description.why,
        "rule": description.rule,
        "risk": "; ".join(filter(None, (description.risk, *description.risk_parts))),
        "may_differ": description.differs,
        "so_far": description.history,
    }
    print_fields({name: value for name, value in sentences.items() if value})
    gates = [
        {"check": name, "result": result, "says": words}
        for result, found in (
            ("FAILED", description.failed),
            ("NOT CHECKED", description.skipped),
            ("passed", description.passed),
        )
        for name, words in found
    ]
    if gates:
        print_rows(gates, empty="", title="Checks")
    if description.rest or description.findings:
        print_fields({"findings": description.findings, **description.rest})
    if approval["form"]:
        print_rows(approval["form"], empty="", title="Fields to fill in (--answer NAME=VALUE)")
    print_rows(approval["decisions"], empty="Nobody has decided yet.", title="Decisions")
    if approval["comments"]:
        print_rows(approval["comments"], empty="", title="Comments")
    steps = [
        {"step": step.state, "says": step.message, "next": step.following}
        for step in progress(connection, approval).steps
    ]
    if steps:
        print_rows(steps, empty="", title="After the decision")
    console.print()
    for text, language in _parts(approval["content"]):
        print_code(text, language)


def _parts(content: Any) -> Iterator[tuple[str, str]]:
    """Yield the complete content as texts with their languages: a patch as a diff, everything else as JSON."""
    patch = content.get("patch") if isinstance(content, dict) else None
    if not isinstance(patch, str):
        yield visible_json(content), "json"
        return
    rest = {name: value for name, value in content.items() if name != "patch"}
    if rest:
        yield visible_json(rest), "json"
    yield patch, "diff"
