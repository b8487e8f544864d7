"""Statistics of suggestions: how people decided on them, and what they changed."""

from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError


def statistics(connection: Connection, by: str = "rule") -> list[dict[str, Any]]:
    """Return acceptance, median times (seconds), reverts and change of complexity.

    Grouped by one of rule, generator, agent, repository, week.
    """
    expressions = {
        "rule": "s.rule_id",
        "generator": "array_to_string(s.sources, '+')",
        "repository": "r.name",
        "week": "to_char(date_trunc('week', s.created_at), 'YYYY-MM-DD')",
        "agent": "a.requested_by",
    }
    if by not in expressions:
        raise QflowError(f"no statistics by {by!r}; choose one of {', '.join(expressions)}")
    query = text(f"""
        SELECT {expressions[by]} AS "{by}", count(*) AS suggested,
               count(*) FILTER (WHERE e.id IS NOT NULL) AS applied,
               count(*) FILTER (WHERE w.status = 'rejected') AS rejected,
               count(*) FILTER (WHERE e.reverted_at IS NOT NULL) AS reverted,
               round((count(e.id)::numeric / nullif(count(*) FILTER (
                   WHERE e.id IS NOT NULL OR w.status = 'rejected'), 0)), 2)::float AS acceptance,
               round(percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY extract(epoch FROM d.at - s.created_at))::numeric, 1)::float AS to_decision,
               round(percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY extract(epoch FROM e.applied_at - d.at))::numeric, 1)::float AS to_apply,
               sum((e.outcome -> 'after' ->> 'cognitive')::float - (e.outcome -> 'before' ->> 'cognitive')::float)
                   AS cognitive
        FROM suggestions s JOIN workflows w ON w.id = s.id JOIN repositories r ON r.id = s.repository_id
        LEFT JOIN edits e ON e.id = s.id LEFT JOIN approvals a ON a.id = s.approval_id
        LEFT JOIN LATERAL (SELECT max(at) AS at FROM approval_decisions WHERE approval_id = s.approval_id) AS d ON true
        GROUP BY 1 ORDER BY suggested DESC, 1
    """)
    return [dict(row) for row in connection.execute(query).mappings()]
