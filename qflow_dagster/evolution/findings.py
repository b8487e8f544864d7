"""The store of findings and their lifecycle: open, fixed, suppressed, reopened.

Matches come from `rule_engine`, findings of metric rules from `metric_findings`, reports of other tools
from `sarif`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, insert, select, text

from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import metric_findings
from qflow_dagster.evolution.project_linters import SwitchedOff
from qflow_dagster.evolution.rule_engine import Evaluation
from qflow_dagster.evolution.tables import finding_events, rules_off
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.quantumflow import resolve
from qflow_dagster.registry import Lock

OWN_SOURCE = "rules"
OPEN = ("open", "reopened")
SEVERITIES = ("error", "warning", "info")
_COLUMNS = """
    rule_id text, rule_version_id integer, category text, severity text, path text, symbol text, line integer,
    end_line integer, "column" integer, message text, fixable boolean, suppressed boolean, evidence jsonb,
    fingerprint bytea, off boolean NOT NULL DEFAULT false
"""
# Contains no line number, so that a finding survives changes above it.
_FINGERPRINT = """
    sha256(convert_to(concat_ws(chr(31), {rule}, {path}, {symbol}, {anchor},
                                row_number() OVER (PARTITION BY {rule}, {path}, {symbol}, {anchor}
                                                   ORDER BY {order})), 'UTF8'))
"""
_FROM_MATCHES = text(f"""
INSERT INTO current_findings
SELECT v.rule_id, v.id, v.category,
       CASE WHEN f.test OR f.documentation OR f.example OR f.path ~* :examples
            THEN coalesce(CAST(:severities_in_examples AS jsonb) ->> v.rule_id, v.severity)
            ELSE v.severity END, f.path, coalesce(s.qualified_name, ''), m.line, m.end_line,
       m."column", m.message, m.fixable, m.suppressed, jsonb_build_object('snippet', m.snippet),
       {
    _FINGERPRINT.format(
        rule="v.rule_id",
        path="f.path",
        symbol="coalesce(s.qualified_name, '')",
        anchor="encode(m.anchor, 'hex')",
        order="m.start_offset, m.seq",
    )
}, o.path IS NOT NULL
FROM files f
JOIN blobs b ON b.id = f.blob_id
JOIN rule_matches m ON m.blob_id = f.blob_id
JOIN rule_versions v ON v.id = m.rule_version_id
LEFT JOIN staged_off_rules o ON o.rule_version_id = v.id AND o.path = f.path
LEFT JOIN LATERAL (
    SELECT s.qualified_name FROM symbols s
    WHERE s.blob_id = m.blob_id AND s.seq > 0 AND s.start_line <= m.line AND s.end_line >= m.line
    ORDER BY s.start_line DESC, s.end_line, s.seq DESC LIMIT 1
) AS s ON true
WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated
  AND v.id = ANY(CAST(:rule_version_ids AS integer[]))
""")
# Paths of templates, and of rules that look for what they contain.
EXAMPLES = (
    r"(^|/)(mocks?|rules|rulesets?|signatures)/"
    r"|(^|[/.])(gitleaks|semgrep|detect-secrets|trufflehog|secretlint)|\.(template|dist)$"
)
_UPDATE = text("""
WITH matched AS (
    SELECT g.id, g.state AS old, g.suppressed_by, f.*,
           CASE WHEN f.fingerprint IS NULL THEN 'fixed'
                WHEN f.suppressed OR f.off OR g.suppressed_by NOT IN ('comment', 'configuration') THEN 'suppressed'
                WHEN g.state = 'fixed' THEN 'reopened'
                WHEN g.state = 'suppressed' THEN 'open'
                ELSE g.state END AS new
    FROM findings g LEFT JOIN current_findings f ON f.fingerprint = g.fingerprint
    WHERE g.repository_id = :repository_id AND g.source = :source
      AND (f.fingerprint IS NOT NULL OR g.state <> 'fixed')
), updated AS (
    UPDATE findings g SET
        state = m.new,
        rule_version_id = coalesce(m.rule_version_id, g.rule_version_id),
        category = coalesce(m.category, g.category), severity = coalesce(m.severity, g.severity),
        symbol = coalesce(m.symbol, g.symbol),
        line = coalesce(m.line, g.line), end_line = coalesce(m.end_line, g.end_line),
        "column" = coalesce(m."column", g."column"), message = coalesce(m.message, g.message),
        fixable = coalesce(m.fixable, g.fixable), evidence = coalesce(m.evidence, g.evidence),
        suppressed_by = CASE WHEN m.suppressed AND g.suppressed_by IS NULL THEN 'comment'
                             WHEN m.off AND g.suppressed_by IS NULL THEN 'configuration'
                             WHEN m.new = 'open' OR m.new = 'reopened' THEN NULL ELSE g.suppressed_by END,
        last_snapshot_id = CASE WHEN m.fingerprint IS NULL THEN g.last_snapshot_id ELSE :snapshot_id END,
        changed_at = CASE WHEN m.new = m.old THEN g.changed_at ELSE clock_timestamp() END
    FROM matched m WHERE g.id = m.id
    RETURNING g.id, m.old, m.new
), added AS (
    INSERT INTO findings (id, repository_id, source, rule_id, rule_version_id, fingerprint, state, category,
                          severity, path, symbol, line, end_line, "column", message, fixable, evidence,
                          suppressed_by, first_snapshot_id, last_snapshot_id)
    SELECT gen_random_uuid(), :repository_id, :source, f.rule_id, f.rule_version_id, f.fingerprint,
           CASE WHEN f.suppressed THEN 'suppressed' ELSE 'open' END, f.category, f.severity, f.path, f.symbol,
           f.line, f.end_line, f."column", f.message, f.fixable, f.evidence,
           CASE WHEN f.suppressed THEN 'comment' END, :snapshot_id, :snapshot_id
    FROM current_findings f
    WHERE NOT f.off AND NOT EXISTS (SELECT FROM findings g WHERE g.repository_id = :repository_id AND g.source = :source
                      AND g.fingerprint = f.fingerprint)
    RETURNING id, NULL::text AS old, state AS new
), changed AS (
    SELECT * FROM updated WHERE old <> new UNION ALL SELECT * FROM added
), events AS (
    INSERT INTO finding_events (finding_id, from_state, to_state, actor, snapshot_id)
    SELECT id, old, new, :actor, :snapshot_id FROM changed
)
SELECT coalesce(old, 'new') AS old, new, count(*) AS number FROM changed GROUP BY 1, 2
""")


def update(connection: Connection, snapshot: Snapshot, evaluation: Evaluation) -> dict[str, int]:
    """Update a repository's findings from the matches of an evaluation in the snapshot.

    A match of a rule that is switched off there is no new finding, and suppresses an old one. Returns the numbers
    of new, fixed, reopened and newly suppressed findings.
    """
    begin(connection, snapshot.repository_id)
    off = evaluation.switched_off
    _stage_off_rules(connection, list(off.reasons))
    in_examples = {
        stored.rule.id: stored.rule.severity_in_examples
        for stored in evaluation.rules
        if stored.rule.severity_in_examples is not None
    }
    parameters = {
        **snapshot.interval,
        "rule_version_ids": [stored.id for stored in evaluation.rules],
        "examples": EXAMPLES,
        "severities_in_examples": json.dumps(in_examples),
    }
    connection.execute(_FROM_MATCHES, parameters)
    _store_off_rules(connection, snapshot.repository_id, off)
    metric_findings.insert(connection, snapshot)
    return apply(connection, snapshot.repository_id, snapshot.id, source=OWN_SOURCE, actor="rule engine")


def off_rules(connection: Connection, repository_id: int) -> list[dict[str, Any]]:
    """Return the rules that are switched off in a repository, why, and how many of their matches are no findings."""
    off = rules_off.c
    query = (
        select(off.rule_id.label("rule"), off.reason, off.matches, off.files)
        .where(off.repository_id == repository_id)
        .order_by(off.reason, off.matches.desc(), off.rule_id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _stage_off_rules(connection: Connection, off: Sequence[tuple[int, str]]) -> None:
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.staged_off_rules"))
    connection.execute(
        text("CREATE TEMPORARY TABLE staged_off_rules (rule_version_id integer, path text) ON COMMIT DROP")
    )
    if off:
        columns = {"versions": [version for version, _ in off], "paths": [path for _, path in off]}
        statement = text("""
            INSERT INTO staged_off_rules
            SELECT * FROM unnest(CAST(:versions AS integer[]), CAST(:paths AS text[]))
        """)
        connection.execute(statement, columns)
        connection.execute(text("ANALYZE staged_off_rules"))


def _store_off_rules(connection: Connection, repository_id: int, off: SwitchedOff) -> None:
    connection.execute(delete(rules_off).where(rules_off.c.repository_id == repository_id))
    rows = [
        {
            "repository_id": repository_id,
            "rule_id": rule,
            "reason": reason,
            "matches": matches,
            "files": files,
        }
        for (rule, reason), (matches, files) in off.matches.items()
    ]
    if rows:
        connection.execute(insert(rules_off), rows)


def begin(connection: Connection, repository_id: int) -> None:
    """Create the temporary table `current_findings`, empty; locks the repository's findings until the commit."""
    lock(connection, Lock.FINDINGS_OF_REPOSITORY, repository_id)
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.current_findings"))
    connection.execute(text(f"CREATE TEMPORARY TABLE current_findings ({_COLUMNS}) ON COMMIT DROP"))


def apply(
    connection: Connection, repository_id: int, snapshot_id: int, *, source: str, actor: str
) -> dict[str, int]:
    """Update the repository's findings of one source from `current_findings`; return the number of each change."""
    # A report may contain a result twice.
    connection.execute(
        text("""
        DELETE FROM current_findings a USING current_findings b
        WHERE a.fingerprint = b.fingerprint AND a.ctid > b.ctid
    """)
    )
    connection.execute(text("ANALYZE current_findings"))
    parameters = {
        "repository_id": repository_id,
        "snapshot_id": snapshot_id,
        "source": source,
        "actor": actor,
    }
    changes = {"new": 0, "fixed": 0, "reopened": 0, "suppressed": 0}
    for row in connection.execute(_UPDATE, parameters):
        name = "new" if (row.old, row.new) == ("new", "open") else row.new
        changes[name] = changes.get(name, 0) + row.number
    return changes


def find(
    connection: Connection,
    repository_id: int | None = None,
    *,
    states: Sequence[str] = OPEN,
    rule: str | None = None,
    path: str | None = None,
    severity: str | None = None,
    category: str | None = None,
    fixable: bool | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Return the findings that match all filters: errors first, then by hotspot rank, path and line."""
    filters = {
        "g.repository_id = :repository_id": repository_id,
        "g.rule_id = :rule": rule,
        "(g.path = :path OR starts_with(g.path, :path || '/'))": path,
        "g.severity = :severity": severity,
        "g.category = :category": category,
        "g.fixable = :fixable": fixable,
    }
    chosen = [condition for condition, value in filters.items() if value is not None]
    query = text(f"""
        SELECT g.id, r.name AS repository, g.state, g.severity, g.rule_id AS rule, g.path, g.line, g.symbol,
               g.message, g.fixable, g.found_at
        FROM findings g JOIN repositories r ON r.id = g.repository_id
        LEFT JOIN hotspots h ON h.snapshot_id = r.current_snapshot_id AND h.path = g.path
        WHERE {" AND ".join(["g.state = ANY(:states)", *chosen])}
        ORDER BY array_position(ARRAY['error', 'warning', 'info'], g.severity), h.rank NULLS LAST, g.path, g.line, g.id
        LIMIT :limit OFFSET :offset
    """)
    parameters = {
        "repository_id": repository_id,
        "states": list(states),
        "rule": rule,
        "path": path,
        "severity": severity,
        "category": category,
        "fixable": fixable,
        "limit": limit,
        "offset": offset,
    }
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def counts(connection: Connection, repository_id: int) -> list[dict[str, Any]]:
    """Count open findings, their files and how many are fixable, for each rule; most severe first."""
    query = text("""
        SELECT severity, rule_id AS rule, min(category) AS category, count(*) AS open, count(DISTINCT path) AS files,
               count(*) FILTER (WHERE fixable) AS fixable, min(message) AS example
        FROM findings WHERE repository_id = :id AND state IN ('open', 'reopened')
        GROUP BY severity, rule_id
        ORDER BY array_position(ARRAY['error', 'warning', 'info'], severity), open DESC, rule_id
    """)
    return [dict(row) for row in connection.execute(query, {"id": repository_id}).mappings()]


def show(connection: Connection, finding_id: UUID) -> dict[str, Any]:
    """Return one finding with its evidence, its rule and its history.

    Raises:
        QflowError: There is no finding with that id.
    """
    query = text("""
        SELECT g.*, r.name AS repository, v.title, v.confidence, v.version
        FROM findings g JOIN repositories r ON r.id = g.repository_id
        LEFT JOIN rule_versions v ON v.id = g.rule_version_id WHERE g.id = :id
    """)
    row = connection.execute(query, {"id": finding_id}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no finding {finding_id}")
    table = finding_events.c
    events = (
        select(
            table.at, table.from_state.label("from"), table.to_state.label("to"), table.actor, table.reason
        )
        .where(table.finding_id == finding_id)
        .order_by(table.id)
    )
    history = [dict(event) for event in connection.execute(events).mappings()]
    hidden = {"repository_id", "rule_version_id", "fingerprint"}
    return {**{k: v for k, v in row.items() if k not in hidden}, "history": history}


def suppress(connection: Connection, ids: Sequence[UUID], *, actor: str, reason: str) -> int:
    """Suppress findings until `restore` is called; return how many were open.

    Raises:
        UsageError: The reason is empty.
    """
    if not reason.strip():
        raise UsageError("a suppression needs a reason: whoever finds it later wants to know it")
    return _set_suppressed(connection, "g.id = ANY(:ids)", {"ids": list(ids)}, actor, reason)


def baseline(connection: Connection, repository_id: int, *, actor: str) -> int:
    """Suppress all findings that are open now, so that only new ones are worked on; return how many."""
    condition = "g.repository_id = :repository_id"
    return _set_suppressed(connection, condition, {"repository_id": repository_id}, "baseline", f"by {actor}")


def restore(connection: Connection, ids: Sequence[UUID], *, actor: str) -> int:
    """Reopen suppressed findings, except those that a comment or configuration suppresses; return how many."""
    statement = text("""
        WITH changed AS (
            UPDATE findings SET state = 'open', suppressed_by = NULL, suppression_reason = NULL,
                                changed_at = clock_timestamp()
            WHERE id = ANY(:ids) AND state = 'suppressed'
              AND suppressed_by NOT IN ('comment', 'configuration') RETURNING id
        )
        INSERT INTO finding_events (finding_id, from_state, to_state, actor)
        SELECT id, 'suppressed', 'open', :actor FROM changed
    """)
    return connection.execute(statement, {"ids": list(ids), "actor": actor}).rowcount


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the finding that starts with `prefix`."""
    return resolve(connection, prefix, table="findings", noun="finding")


def _set_suppressed(
    connection: Connection, condition: str, parameters: Mapping[str, Any], by: str, reason: str
) -> int:
    statement = text(f"""
        WITH changed AS (
            UPDATE findings g SET state = 'suppressed', suppressed_by = :by, suppression_reason = :reason,
                                  changed_at = clock_timestamp()
            FROM findings old
            WHERE old.id = g.id AND {condition} AND g.state IN ('open', 'reopened')
            RETURNING g.id, old.state AS old
        )
        INSERT INTO finding_events (finding_id, from_state, to_state, actor, reason)
        SELECT id, old, 'suppressed', :by, :reason FROM changed
    """)
    return connection.execute(statement, {**parameters, "by": by, "reason": reason}).rowcount
