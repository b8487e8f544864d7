"""Leave locations out of a suggestion: a reviewer takes the rest of a change, which is another change to approve.

Belongs here: making the smaller change, running its gates, replacing the suggestion. Does not belong here: the
gates (`generation`), the lifecycle of a suggestion (`self_improvement`).
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from qflow_dagster.agents import self_improvement
from qflow_dagster.agents.tables import suggestions
from qflow_dagster.approvals import arbiter
from qflow_dagster.approvals.tables import approvals
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import findings
from qflow_dagster.evolution.tables import findings as finding_table
from qflow_dagster.generation import candidate_records, orchestrator, single
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.quantumflow import transition
from qflow_dagster.quantumflow.tables import workflows


def exclude(
    engine: Engine, suggestion_id: UUID, locations: Sequence[str], *, actor: str, reason: str
) -> UUID:
    """Replace a suggestion by one without these locations (PATH:LINE), and suppress their findings.

    The smaller change goes through all gates, and has a digest, and so an approval, of its own. Return the new
    suggestion. The old one is superseded, and its approval revoked.

    Raises:
        UsageError: a location is not part of the change, or none would be left.
        QflowError: the suggestion no longer awaits approval, or the rest of the change fails a gate.
    """
    with engine.begin() as connection:
        _check_state(connection, suggestion_id)
        row = connection.execute(select(suggestions).where(suggestions.c.id == suggestion_id)).one()
        candidate = single.restore(connection, row.candidate_id)
    excluded = _excluded(candidate, locations)
    smaller = orchestrator.without_locations(engine, candidate, dict.fromkeys(excluded, reason))
    failed = [gate for gate in smaller.gates if gate.verdict == "failed"]
    if failed:
        raise QflowError(f"the change without them fails the gate {failed[0].name}: {failed[0].evidence}")
    smaller.status = "passed"
    with engine.begin() as connection:
        _check_state(connection, suggestion_id)
        requested_by = connection.scalar(
            select(approvals.c.requested_by).where(approvals.c.id == row.approval_id)
        )
        arbiter.revoke(
            connection, row.approval_id, actor=str(requested_by), reason=f"replaced by {actor}: {reason}"
        )
        left_out = ", ".join(f"{path}:{line}" for path, line in excluded)
        transition(
            connection,
            [suggestion_id],
            "superseded",
            actor=actor,
            data={"reason": f"{actor} left out {left_out}: {reason}"},
        )
        by_path = {file.request.path: file.work_item_id for file in smaller.files}
        candidate_records.store(connection, candidate.repository_id, by_path, [], [smaller])
        findings.suppress(
            connection, _findings_at(connection, candidate, excluded), actor=actor, reason=reason
        )
        new = self_improvement.suggest(connection, smaller)
        if new is None:
            raise QflowError("the change without them was suggested before; see qflow suggestions list")
        served = set(smaller.work_items)
        others = [item for item in candidate.work_items if item not in served]
        self_improvement.release(connection, others, f"left out of suggestion {new}: {reason}")
    return new


def _check_state(connection: Connection, suggestion_id: UUID) -> None:
    state = connection.scalar(
        select(workflows.c.status).where(workflows.c.id == suggestion_id).with_for_update()
    )
    if state != "awaiting_approval":
        raise QflowError(f"suggestion {suggestion_id} is {state}: locations are left out before the decision")


def _excluded(candidate: Candidate, locations: Sequence[str]) -> list[tuple[str, int]]:
    available = {f"{row['path']}:{row['line']}": (row["path"], row["line"]) for row in candidate.locations}
    if not available:
        raise UsageError("this change is a whole: none of its locations can be left out")
    unknown = [location for location in locations if location not in available]
    if unknown:
        raise UsageError(f"{unknown[0]} is not changed by it; there are {', '.join(available)}")
    if set(available) <= set(locations):
        raise UsageError("nothing would be left of the change; deny it instead: qflow approvals deny")
    return [available[location] for location in dict.fromkeys(locations)]


def _findings_at(
    connection: Connection, candidate: Candidate, excluded: Sequence[tuple[str, int]]
) -> list[UUID]:
    columns = finding_table.c
    query = select(columns.id, columns.path, columns.line).where(
        columns.repository_id == candidate.repository_id,
        columns.rule_id == candidate.request.rule.id,
        columns.path.in_({path for path, _ in excluded}),
    )
    return [row.id for row in connection.execute(query) if (row.path, row.line) in set(excluded)]
