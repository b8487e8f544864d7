"""Read what waits for a person and what the loop did lately, over all repositories, for the home page.

Does not belong here: lists of one kind (each domain has its own).
"""

from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.approvals.approval import TYPES

_APPROVALS = ", ".join(f"'{name}'" for name in TYPES.values())
# The newest events of findings that are looked at: a page must not read years of them.
_MAX_EVENTS = 50_000
# By severity of the risk; requests that are no suggestions have none.
_RISKS = "ARRAY['high', 'experimental', 'medium', 'low']"


def pending(connection: Connection) -> list[dict[str, Any]]:
    """Count pending approvals by kind and risk, with the oldest of each; the highest risk first."""
    query = text(f"""
        SELECT a.kind, coalesce(s.risk, '') AS risk, count(*) AS requests, min(a.requested_at) AS oldest_at,
               min(a.expires_at) AS expires_at, (array_agg(a.id ORDER BY a.id))[1] AS oldest
        FROM workflows w JOIN approvals a ON a.id = w.id LEFT JOIN suggestions s ON s.approval_id = a.id
        WHERE w.type IN ({_APPROVALS}) AND w.status = 'pending'
        GROUP BY 1, 2 ORDER BY array_position({_RISKS}, coalesce(s.risk, '')) NULLS LAST, oldest_at
    """)
    return [dict(row) for row in connection.execute(query).mappings()]


def changes_since(connection: Connection, hours: float) -> dict[str, int]:
    """Count the changes that were suggested, applied, verified, merged and reverted within the last hours."""
    query = text("""
        SELECT (SELECT count(*) FROM suggestions WHERE created_at > since) AS suggested,
               count(*) FILTER (WHERE applied_at > since) AS applied,
               count(*) FILTER (WHERE verified_at > since) AS verified,
               count(*) FILTER (WHERE ended_at > since AND ended_as = 'merged') AS merged,
               count(*) FILTER (WHERE reverted_at > since OR ended_at > since AND ended_as = 'reverted') AS reverted
        FROM edits, (SELECT statement_timestamp() - make_interval(secs => 3600 * :hours) AS since) AS period
        GROUP BY since
        UNION ALL
        SELECT (SELECT count(*) FROM suggestions
                WHERE created_at > statement_timestamp() - make_interval(secs => 3600 * :hours)), 0, 0, 0, 0
        WHERE NOT EXISTS (SELECT FROM edits)
    """)
    return dict(connection.execute(query, {"hours": hours}).mappings().one())


def findings_since(connection: Connection, hours: float) -> dict[str, int]:
    """Count the findings that were found, reopened, fixed and suppressed within the last hours."""
    query = text("""
        SELECT count(*) FILTER (WHERE from_state IS NULL) AS found,
               count(*) FILTER (WHERE to_state = 'reopened') AS reopened,
               count(*) FILTER (WHERE to_state = 'fixed') AS fixed,
               count(*) FILTER (WHERE to_state = 'suppressed') AS suppressed
        FROM (SELECT * FROM finding_events ORDER BY id DESC LIMIT :limit) AS newest
        WHERE at > statement_timestamp() - make_interval(secs => 3600 * :hours)
    """)
    return dict(connection.execute(query, {"hours": hours, "limit": _MAX_EVENTS}).mappings().one())


def repositories(connection: Connection) -> list[dict[str, Any]]:
    """Return each repository with its size, open findings, pending changes, and commits of the last 24 months."""
    query = text("""
        SELECT r.name, r.location, s.commit_oid AS commit, s.committed_at, s.created_at AS ingested_at,
               s.file_count AS files, s.lines, coalesce(f.errors, 0) AS errors, coalesce(f.open, 0) AS open_findings,
               coalesce(p.pending, 0) AS pending_changes, coalesce(t.commits, ARRAY[]::int[]) AS commits
        FROM repositories r LEFT JOIN snapshots s ON s.id = r.current_snapshot_id
        LEFT JOIN LATERAL (SELECT count(*) AS open, count(*) FILTER (WHERE severity = 'error') AS errors
                           FROM findings g
                           WHERE g.repository_id = r.id AND g.state IN ('open', 'reopened')) AS f ON true
        LEFT JOIN LATERAL (SELECT count(*) AS pending FROM suggestions g JOIN workflows w ON w.id = g.id
                           WHERE g.repository_id = r.id AND w.status = 'awaiting_approval') AS p ON true
        LEFT JOIN LATERAL (SELECT array_agg(commits ORDER BY month) AS commits FROM (
                               SELECT month, commits FROM repository_trend x WHERE x.snapshot_id = s.id
                               ORDER BY month DESC LIMIT 24) AS newest) AS t ON true
        ORDER BY r.name LIMIT 500
    """)
    return [dict(row) for row in connection.execute(query).mappings()]
