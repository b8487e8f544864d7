"""Outcomes of rule versions: what happened to their findings and proposed changes, each recorded once.

They are read from the tables of findings, candidates, suggestions and edits (those of higher packages
by table name: data, no import). `trust` estimates confidence from them, `location_records` keeps the code
they are about.

| kind | what happened | evidence: label, weight |
| --- | --- | --- |
| shown | findings of a snapshot, in number | nothing |
| suppressed | a person suppressed an open finding | bad, 0.5 |
| passed, failed | a candidate passed all gates, or failed one | nothing: no person saw it |
| approved, denied | a person's decision; nothing if by policy | good, bad, 1 |
| applied | the change was committed | nothing |
| verified | the change passed verification; nothing where a person had approved it | good, 0.5 |
| merged | the target branch contains the change; nothing where a person had approved it | good, 0.5 |
| closed | a person closed the change; its approval no longer counts | bad, 1 |
| reverted | the change was reverted; its approval no longer counts | bad, 1 |
| fixed | somebody fixed a finding by a change of their own (implicit acceptance) | good, 0.25 |
| reappeared | a finding was reopened | nothing |
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.evolution.confidence import LabelledOutcome
from qflow_dagster.evolution.thresholds import Decision

KINDS = (
    "shown",
    "suppressed",
    "passed",
    "failed",
    "approved",
    "denied",
    "applied",
    "verified",
    "merged",
    "closed",
    "reverted",
    "fixed",
    "reappeared",
)
SUPPRESSED, VERIFIED, MERGED, FIXED = 0.5, 0.5, 0.5, 0.25

_INSERT = """
INSERT INTO rule_outcomes (kind, rule_id, version, digest, good, weight, number, gate, subject, reference,
                           repository_id, actor, reason, confidence_mean, confidence_lower, at)
{select}
ON CONFLICT (kind, reference) DO NOTHING
"""
_SHOWN = """
SELECT 'shown', v.rule_id, v.version, v.digest, NULL::boolean, 0, count(*), NULL, e.snapshot_id::text,
       e.snapshot_id || ':' || encode(v.digest, 'hex'), g.repository_id, NULL, NULL, NULL::float8, NULL::float8,
       min(e.at)
FROM finding_events e JOIN findings g ON g.id = e.finding_id JOIN rule_versions v ON v.id = g.rule_version_id
WHERE e.from_state IS NULL AND e.to_state = 'open' AND g.source = 'rules'
GROUP BY v.rule_id, v.version, v.digest, e.snapshot_id, g.repository_id
"""
# One outcome per event; events recorded before are skipped.
_FINDING = """
SELECT '{kind}', v.rule_id, v.version, v.digest, {good}, {weight}, 1, NULL, g.id::text, e.id::text, g.repository_id,
       e.actor, e.reason, NULL::float8, NULL::float8, e.at
FROM finding_events e JOIN findings g ON g.id = e.finding_id JOIN rule_versions v ON v.id = g.rule_version_id
WHERE {condition} AND g.source = 'rules'
  AND NOT EXISTS (SELECT FROM rule_outcomes o WHERE o.kind = '{kind}' AND o.reference = e.id::text)
"""
# The finding is gone while its file exists and was evaluated; the rule has no new finding in it (the
# code would have moved), and no applied edit did it.
_FIXED = """
e.to_state = 'fixed' AND EXISTS (
    SELECT FROM snapshots s JOIN files f ON f.repository_id = s.repository_id AND f.from_seq <= s.seq
        AND (f.to_seq IS NULL OR f.to_seq > s.seq)
    LEFT JOIN blob_evaluations b ON b.blob_id = f.blob_id
    WHERE s.id = e.snapshot_id AND f.path = g.path AND (v.engine = 'metric' OR g.rule_version_id = ANY(b.evaluated)))
AND NOT EXISTS (
    SELECT FROM finding_events n JOIN findings h ON h.id = n.finding_id
    WHERE n.snapshot_id = e.snapshot_id AND n.from_state IS NULL AND h.rule_id = g.rule_id AND h.path = g.path)
AND NOT EXISTS (
    SELECT FROM suggestions s JOIN edits d ON d.id = s.id JOIN candidates c ON c.id = s.candidate_id
    WHERE s.repository_id = g.repository_id AND s.rule_id = g.rule_id AND g.path = ANY(c.paths)
      AND d.reverted_at IS NULL AND d.ended_as IS DISTINCT FROM 'superseded' AND d.ended_as IS DISTINCT FROM 'closed')
"""
_CANDIDATES = """
SELECT c.status, c.rule_id, c.rule_version, c.rule_digest, NULL::boolean, 0, 1, f.gate, c.id::text, c.id::text,
       c.repository_id, array_to_string(c.sources, '+'), f.evidence, NULL::float8, NULL::float8, c.created_at
FROM candidates c LEFT JOIN LATERAL (
    SELECT r.gate, r.evidence FROM gate_results r WHERE r.base_commit = c.base_commit AND r.digest = c.digest
    AND r.rule_id = c.rule_id AND r.verdict = 'failed' ORDER BY r.version DESC, r.seq LIMIT 1) AS f ON true
WHERE c.status IN ('passed', 'failed')
  AND NOT EXISTS (SELECT FROM rule_outcomes o WHERE o.kind = c.status AND o.reference = c.id::text)
"""
_OF_SUGGESTION = """
FROM suggestions s JOIN candidates c ON c.id = s.candidate_id
"""
_RULE = "c.rule_id, c.rule_version, c.rule_digest"
_DECIDED = f"""
SELECT CASE d.decision WHEN 'approve' THEN 'approved' ELSE 'denied' END, {_RULE},
       CASE WHEN d.actor LIKE 'policy:%' THEN NULL ELSE d.decision = 'approve' END,
       CASE WHEN d.actor LIKE 'policy:%' THEN 0 WHEN d.decision = 'approve' THEN 1.0 / a.required_approvals ELSE 1 END,
       1, NULL, s.id::text, d.approval_id || ':' || d.actor, s.repository_id, d.actor, d.comment, s.confidence_mean,
       s.confidence_lower, d.at
{_OF_SUGGESTION} JOIN approvals a ON a.id = s.approval_id JOIN approval_decisions d ON d.approval_id = a.id
"""
_BY_POLICY = """
    SELECT coalesce(bool_and(actor LIKE 'policy:%'), false) AS policy FROM approval_decisions
    WHERE approval_id = s.approval_id
"""
_EDITS = f"""
SELECT 'applied', {_RULE}, NULL::boolean, 0, 1, NULL, s.id::text, s.id::text, s.repository_id, e.applied_by, NULL,
       s.confidence_mean, s.confidence_lower, e.applied_at
{_OF_SUGGESTION} JOIN edits e ON e.id = s.id
UNION ALL
SELECT 'verified', {_RULE}, CASE WHEN p.policy THEN true END, CASE WHEN p.policy THEN {VERIFIED} ELSE 0 END, 1, NULL,
       s.id::text, s.id::text, s.repository_id, NULL, NULL, s.confidence_mean, s.confidence_lower, e.verified_at
{_OF_SUGGESTION} JOIN edits e ON e.id = s.id CROSS JOIN LATERAL ({_BY_POLICY}) AS p
WHERE e.verified_at IS NOT NULL
UNION ALL
SELECT 'merged', {_RULE}, CASE WHEN p.policy THEN true END, CASE WHEN p.policy THEN {MERGED} ELSE 0 END, 1, NULL,
       s.id::text, s.id::text, s.repository_id, NULL, e.end_reason, s.confidence_mean, s.confidence_lower, e.ended_at
{_OF_SUGGESTION} JOIN edits e ON e.id = s.id CROSS JOIN LATERAL ({_BY_POLICY}) AS p
WHERE e.ended_as = 'merged'
UNION ALL
SELECT 'closed', {_RULE}, false, 1, 1, NULL, s.id::text, s.id::text, s.repository_id, NULL, e.end_reason,
       s.confidence_mean, s.confidence_lower, e.ended_at
{_OF_SUGGESTION} JOIN edits e ON e.id = s.id WHERE e.ended_as = 'closed' AND c.outcome = 'denied'
UNION ALL
SELECT 'reverted', {_RULE}, false, 1, 1, NULL, s.id::text, s.id::text, s.repository_id, NULL,
       e.end_reason, s.confidence_mean, s.confidence_lower, e.reverted_at
{_OF_SUGGESTION} JOIN edits e ON e.id = s.id WHERE e.reverted_at IS NOT NULL
"""
_STATEMENTS = [
    text(_INSERT.format(select=select))
    for select in (
        _SHOWN,
        _FINDING.format(
            kind="suppressed",
            good="false",
            weight=SUPPRESSED,
            condition="e.to_state = 'suppressed' AND e.from_state IS NOT NULL AND e.actor <> 'baseline'",
        ),
        _FINDING.format(kind="fixed", good="true", weight=FIXED, condition=_FIXED),
        _FINDING.format(kind="reappeared", good="NULL", weight=0, condition="e.to_state = 'reopened'"),
        _CANDIDATES,
        _DECIDED,
        _EDITS,
    )
]
_PENDING = text("""
SELECT count(*) FROM approval_decisions d JOIN suggestions s ON s.approval_id = d.approval_id
WHERE d.actor NOT LIKE 'policy:%' AND NOT EXISTS (
    SELECT FROM rule_outcomes o WHERE o.reference = d.approval_id || ':' || d.actor
    AND o.kind = CASE d.decision WHEN 'approve' THEN 'approved' ELSE 'denied' END)
""")
# An approval, verification or merge does not count if the change was reverted or closed later.
NOT_REVERTED = """
NOT (o.kind IN ('approved', 'verified', 'merged') AND EXISTS (
    SELECT FROM rule_outcomes r WHERE r.kind IN ('reverted', 'closed') AND r.subject = o.subject))
"""


class Evidence(NamedTuple):
    """The labelled outcomes of a rule version, oldest first, and the labels of its decisions and reverts."""

    labelled: list[LabelledOutcome]
    decisions: list[bool]


def collect(connection: Connection) -> int:
    """Record what happened since the last call; return the number of new outcomes."""
    return sum(connection.execute(statement).rowcount for statement in _STATEMENTS)


def count_pending(connection: Connection) -> int:
    """Return the number of people's decisions that are not recorded yet."""
    return connection.scalar(_PENDING) or 0


def evidence(connection: Connection) -> dict[bytes, Evidence]:
    """Return the evidence on every rule version that has any, by digest."""
    query = text(f"""
        SELECT o.digest, o.kind, o.good, o.weight,
               extract(epoch FROM clock_timestamp() - o.at)::float8 / 86400 AS age
        FROM rule_outcomes o WHERE o.weight > 0 AND {NOT_REVERTED} ORDER BY o.at, o.id
    """)
    by_digest: dict[bytes, Evidence] = {}
    for row in connection.execute(query):
        evidence = by_digest.setdefault(bytes(row.digest), Evidence([], []))
        evidence.labelled.append(LabelledOutcome(row.age, row.weight, row.good))
        if row.kind in ("approved", "denied", "closed", "reverted"):
            evidence.decisions.append(row.good)
    return by_digest


def predictions(connection: Connection, *, limit: int = 2_000) -> list[Any]:
    """Return the confidence that each decided suggestion was made with, and its last outcome; oldest first.

    Rows have `confidence_mean`, `confidence_lower`, `good` and `at`.
    """
    query = text(f"""
        SELECT * FROM (
            SELECT DISTINCT ON (o.subject) o.subject, o.confidence_mean, o.confidence_lower, o.good, o.at
            FROM rule_outcomes o
            WHERE o.weight > 0 AND o.confidence_mean IS NOT NULL AND {NOT_REVERTED}
            ORDER BY o.subject, o.id DESC
        ) AS last ORDER BY at DESC LIMIT :limit
    """)
    return list(connection.execute(query, {"limit": limit}))[::-1]


def after_publication(connection: Connection) -> list[Decision]:
    """Return the decisions on rules after their publication, with the confidence they were published with.

    Oldest first.
    """
    query = text(f"""
        SELECT p.confidence_lower, o.good, o.at FROM rule_outcomes o
        JOIN LATERAL (SELECT confidence_lower FROM rule_publications p WHERE p.rule_digest = o.digest
                      AND p.published_at < o.at ORDER BY p.id DESC LIMIT 1) AS p ON true
        WHERE o.kind IN ('approved', 'denied', 'closed', 'reverted') AND o.weight > 0 AND {NOT_REVERTED}
        ORDER BY o.at, o.id
    """)
    return [Decision(*row) for row in connection.execute(query)]


def counts(connection: Connection, rules: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Count the outcomes of each kind by rule and version, of the rules given (default: all)."""
    columns = ", ".join(
        f"coalesce(sum(number) FILTER (WHERE kind = '{kind}'), 0)::int AS {kind}" for kind in KINDS
    )
    query = text(f"""
        SELECT rule_id AS rule, version, digest, {columns} FROM rule_outcomes
        WHERE cardinality(CAST(:rules AS text[])) = 0 OR rule_id = ANY(:rules)
        GROUP BY rule_id, version, digest ORDER BY sum(weight) DESC, rule_id, version
    """)
    return [dict(row) for row in connection.execute(query, {"rules": list(rules)}).mappings()]


def history(connection: Connection, rule: str, *, limit: int = 1_000) -> list[dict[str, Any]]:
    """Return the outcomes of a rule's versions, newest first."""
    query = text("""
        SELECT o.at, o.version, o.kind, o.number, o.gate, o.actor, o.reason, o.good, o.weight,
               r.name AS repository, o.subject
        FROM rule_outcomes o LEFT JOIN repositories r ON r.id = o.repository_id
        WHERE o.rule_id = :rule ORDER BY o.at DESC, o.id DESC LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"rule": rule, "limit": limit}).mappings()]
