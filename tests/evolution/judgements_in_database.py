"""Decisions on suggestions of a rule, as the tables hold them after people decided: many, without a repository."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine, text

from qflow_dagster.evolution import outcomes
from qflow_dagster.evolution.rules import Rule

_REPOSITORY = text("""
INSERT INTO repositories (name, location, mirrored, object_format) SELECT 'decided', '/nowhere', false, 'sha1'
WHERE NOT EXISTS (SELECT FROM repositories WHERE name = 'decided')
""")
_CANDIDATE = text("""
INSERT INTO candidates (id, work_item_id, work_items, locations, repository_id, base_commit, digest, patch, paths,
                        lines, rule_id, rule_version, rule_digest, language, sources, status, score)
SELECT :id, :id, ARRAY[CAST(:id AS uuid)], '[]', r.id, 'c0ffee', :digest, '', '{a.py}', 1, :rule, :version, :rule_digest, 'python', '{codemod}',
       'not_needed', 0.9 FROM repositories r WHERE r.name = 'decided'
""")
_SUGGESTION = text("""
INSERT INTO suggestions (id, repository_id, work_item_id, work_items, candidate_id, fingerprint, title, reason, sources,
                         rule_id, base_commit, target, branch, risk, approval_id, confidence_mean, confidence_lower)
SELECT :id, r.id, :id, ARRAY[CAST(:id AS uuid)], :id, :digest, 'change', 'because', '{codemod}', :rule, 'c0ffee', 'HEAD', 'b', 'low', :id, :mean, :lower
FROM repositories r WHERE r.name = 'decided'
""")
_APPROVAL = text("""
INSERT INTO approvals (id, kind, target, content, digest, requested_by, reason, required_approvals, expires_at)
VALUES (:id, 'edit', 'decided', '{}', :digest, 'agent:refactoring', 'because', 1, clock_timestamp())
""")
_DECISION = text("""
INSERT INTO approval_decisions (approval_id, actor, requested_by, decision, at)
VALUES (:id, :actor, 'agent:refactoring', :decision, clock_timestamp() - make_interval(secs => :age))
""")


def decided(
    engine: Engine,
    rule: Rule,
    good: Sequence[bool],
    *,
    believed: tuple[float, float] = (0.9, 0.8),
    actor: str = "ada",
    days: float = 0.0,
    digest: bytes | None = None,
    collect: bool = True,
) -> None:
    """So many changes of the rule were suggested, and approved or denied in this order, so many days ago."""
    with engine.begin() as connection:
        connection.execute(_REPOSITORY)
        for number, one in enumerate(good):
            id_ = uuid.uuid4()
            values = {
                "id": id_,
                "digest": id_.bytes,
                "rule": rule.id,
                "version": rule.version,
                "rule_digest": digest or rule.digest,
                "mean": believed[0],
                "lower": believed[1],
                "actor": actor,
                "decision": "approve" if one else "deny",
                "age": days * 86_400 + (len(good) - number) * 0.001,
            }
            for statement in (_CANDIDATE, _SUGGESTION, _APPROVAL, _DECISION):
                connection.execute(statement, values)
        if collect:
            outcomes.collect(connection)
