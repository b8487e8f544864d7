"""A request on the terminal: the same sentences as on its page.

Does not belong here: commands (`cli.approvals`), keys (`cli.inbox_terminal`).
"""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from sqlalchemy import Connection

from qflow_dagster.agents.request_description import describe
from qflow_dagster.agents.request_progress import progress
from qflow_dagster.cli.output import code_block, console, fields_table, print_code, rows_table
from qflow_dagster.safety.display import visible_json

# What the sentences say, or a table of its own shows.
HIDDEN = frozenset(
    {"content", "evidence", "decisions", "comments", "delegations", "form", "repository", "rule", "risk"}
)


def print_approval(connection: Connection, approval: dict[str, Any]) -> None:
    """Print everything that a decision is about: what it asks for, what was checked, and the complete content."""
    for part in _facts(connection, approval):
        console.print(part)
    console.print()
    for text, language in _content(approval["content"]):
        print_code(text, language)


def request_parts(connection: Connection, approval: dict[str, Any]) -> Iterator[RenderableType]:
    """Yield what `print_approval` prints, for a terminal that shows more than it."""
    yield from _facts(connection, approval)
    for text, language in _content(approval["content"]):
        yield code_block(text, language)


def _facts(connection: Connection, approval: dict[str, Any]) -> Iterator[RenderableType]:
    description = describe(connection, approval)
    yield fields_table(
        {name: value for name, value in approval.items() if name not in HIDDEN and value is not None}
    )
    yield fields_table(description.sentences())
    if description.rest or description.findings:
        yield fields_table({"findings": description.findings, **description.rest})
    if approval["form"]:
        yield rows_table(approval["form"], title="Fields to fill in (--answer NAME=VALUE)")
    if approval["decisions"]:
        yield rows_table(approval["decisions"], title="Decisions")
    else:
        yield "No decision yet."
    if approval["comments"]:
        yield rows_table(approval["comments"], title="Comments")
    steps = [
        {"step": step.state, "says": step.message, "next": step.following}
        for step in progress(connection, approval).steps
    ]
    if steps:
        yield rows_table(steps, title="After the decision")


def _content(content: Any) -> Iterator[tuple[str, str]]:
    """Yield the complete content as texts with their languages: a patch as a diff, everything else as JSON."""
    patch = content.get("patch") if isinstance(content, dict) else None
    if not isinstance(patch, str):
        yield visible_json(content), "json"
        return
    rest = {name: value for name, value in content.items() if name != "patch"}
    if rest:
        yield visible_json(rest), "json"
    yield patch, "diff"
