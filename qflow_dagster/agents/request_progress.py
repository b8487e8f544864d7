"""The course of a request after its decision: used by a run, committed to a branch, tested, verified or reverted.

Belongs here: reading it for the page and the terminal. Does not belong here: making it happen (`edits`,
`edit_verification`, `rule_changes`, `approvals.approved_workflows`).
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.agents.edit_comparison import short_name
from qflow_dagster.evolution import rule_set

State = Literal["done", "running", "skipped", "failed", "ended"]
# Operation of the runs that use approved requests, by kind (see `jobs`).
OPERATIONS = {
    "edit": "dagster.apply_approved_edits",
    "workflow": "dagster.start_approved_workflows",
    "rule": "dagster.apply_approved_rule_changes",
}


class Step(NamedTuple):
    """A step after the decision: its state, what happened, what comes next or to do, and a run's id or a path."""

    state: State
    message: str
    following: str | None = None
    run_id: str | None = None
    path: str | None = None


class Progress(NamedTuple):
    """The steps after a decision, oldest first; `is_over` when nothing will be added."""

    steps: list[Step]
    is_over: bool


def progress(connection: Connection, approval: Mapping[str, Any]) -> Progress:
    """Return how an approval, as `records.show` returns it, has gone on."""
    status = approval["status"]
    if status in ("denied", "revoked", "expired", "archived"):
        return Progress([Step("ended", f"The request is {status}: nothing is done.")], True)
    if status == "pending":
        return Progress([], False)
    if status == "approved":
        return Progress(_waiting(connection, approval), False)
    content = approval["content"] if isinstance(approval["content"], dict) else {}
    used = Step("done", "The approval was used.", run_id=approval["run_id"])
    match approval["kind"]:
        case "edit" if isinstance(content.get("suggestion"), str):
            return _edit(connection, UUID(content["suggestion"]), used)
        case "workflow":
            return _workflow(connection, approval["id"], used)
        case "rule" if isinstance(content.get("life"), str):
            lifecycle = rule_set.get_lifecycle(connection, UUID(content["life"]))
            name = f"Version {lifecycle.version} of {lifecycle.rule_id}"
            return Progress([used, Step("done", f"{name} is {lifecycle.status}.")], True)
    return Progress([used], True)


_FAILURE = text("""
SELECT o.message, o.run_id FROM error_occurrences o
JOIN approval_decisions d ON d.approval_id = :id
WHERE o.operation = :operation AND o.at >= d.at ORDER BY o.id DESC LIMIT 1
""")


def _waiting(connection: Connection, approval: Mapping[str, Any]) -> list[Step]:
    operation = OPERATIONS.get(approval["kind"])
    if operation is None:
        return [Step("running", "Approved. A program uses it with its token.")]
    failure = connection.execute(_FAILURE, {"id": approval["id"], "operation": operation}).first()
    if failure is not None:
        return [
            Step(
                "failed",
                f"A run that should use it failed: {failure.message}",
                "The approval is unused; the next run tries it again.",
                run_id=failure.run_id,
            )
        ]
    return [
        Step(
            "running",
            "Queued: a run uses it within seconds.",
            "If nothing happens, `qflow up` is not running here: `qflow approvals history` says whether it was used.",
        )
    ]


_EDIT = text("""
SELECT w.status AS state, e.*, s.target FROM suggestions s JOIN workflows w ON w.id = s.id
LEFT JOIN edits e ON e.id = s.id WHERE s.id = :id
""")
_REPLACED_BY = text(
    "SELECT approval_id FROM suggestions WHERE replaces = :id AND approval_id IS NOT NULL LIMIT 1"
)
_LAST_REASON = text("""
SELECT data ->> 'reason' FROM workflow_events WHERE workflow_id = :id AND data ? 'reason' ORDER BY seq DESC LIMIT 1
""")


def _edit(connection: Connection, id_: UUID, used: Step) -> Progress:
    row = connection.execute(_EDIT, {"id": id_}).one_or_none()
    if row is None:
        return Progress([used], True)
    if row.id is None:
        reason = connection.scalar(_LAST_REASON, {"id": id_})
        replaced = connection.scalar(_REPLACED_BY, {"id": id_})
        following = "The same change on the new code waits for a decision." if replaced else None
        path = f"/approvals/{replaced}" if replaced else None
        steps = [used, Step("failed", f"It was not applied: {reason or row.state}", following, path=path)]
        return Progress(steps, True)
    target = short_name(row.target)
    steps = [
        used,
        Step("done", f"Applied as commit {row.commit_oid[:10]} on branch {row.branch}.", run_id=row.run_id),
    ]
    outcome = row.outcome if isinstance(row.outcome, dict) else {}
    tests = outcome.get("tests")
    if tests:
        verdict, _, words = str(tests).partition(": ")
        steps.append(Step("done" if verdict == "passed" else "skipped", f"Tests {verdict}: {words}"))
    for remote, commit in (row.pushed or {}).items():
        steps.append(Step("done", f"Pushed to {remote} as {commit[:10]}."))
    match row.state:
        case "applied":
            steps.append(Step("running", "Being verified: tests, findings and measures before and after."))
        case "verified":
            steps.append(
                Step(
                    "done",
                    "Verified: nothing got worse.",
                    f"Next: review the branch and merge it into {target}.",
                )
            )
        case "conflicting":
            reason = connection.scalar(_LAST_REASON, {"id": id_})
            steps.append(
                Step("failed", f"Conflicting: {reason}", "The change is generated again from the new code.")
            )
        case "merged":
            steps.append(Step("done", f"Merged: {row.end_reason}"))
        case state:
            steps.append(
                Step("failed", f"{state.capitalize()}: {row.end_reason or 'no reason was recorded'}")
            )
    return Progress(steps, row.state not in ("applied",))


def _workflow(connection: Connection, approval_id: UUID, used: Step) -> Progress:
    query = text("SELECT id, status FROM workflows WHERE key = :key")
    row = connection.execute(query, {"key": f"approval:{approval_id}"}).first()
    if row is None:
        return Progress([used], True)
    return Progress(
        [used, Step("done", f"Workflow {row.id} is {row.status}.", path=f"/workflows/{row.id}")], True
    )
