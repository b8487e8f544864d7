"""Storing and reading attempts, candidates and gate results.

Belongs here: their SQL, and what past outcomes say of a rule and a generator.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import QflowError
from qflow_dagster.generation import validation
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.tables import generation_attempts
from qflow_dagster.generation.validation import Gate
from qflow_dagster.generation.workers import Attempt
from qflow_dagster.quantumflow.rows import to_json

# What a rule's confidence is worth in decisions: so many real ones outweigh it.
PRIOR = 5.0


def beliefs(connection: Connection) -> Callable[[str, str, float], float]:
    """Expected acceptance of (rule, generator, the rule's confidence): a Beta posterior's mean.

    Prior Beta(5 c, 5 (1 - c)) of the rule's stated confidence c; accepted and denied or reverted
    candidates are the evidence.
    """
    query = text("""
        SELECT c.rule_id, source, count(*) FILTER (WHERE c.outcome = 'accepted') AS accepted, count(*) AS decided
        FROM candidates c CROSS JOIN unnest(c.sources) AS source
        WHERE c.outcome IS NOT NULL GROUP BY 1, 2
    """)
    known = {(row.rule_id, row.source): (row.accepted, row.decided) for row in connection.execute(query)}

    def belief(rule: str, generator: str, confidence: float) -> float:
        accepted, decided = known.get((rule, generator), (0, 0))
        return (PRIOR * confidence + accepted) / (PRIOR + decided)

    return belief


def known_gates(connection: Connection, candidate: Candidate) -> list[Gate]:
    """What the gates of this version said of the same patch on the same commit before; in order."""
    query = text("""
        SELECT gate, verdict, evidence, seconds FROM gate_results
        WHERE base_commit = :base AND digest = :digest AND rule_id = :rule AND version = :version ORDER BY seq
    """)
    parameters = {
        "base": candidate.base,
        "digest": candidate.patch.digest,
        "version": validation.VERSION,
        "rule": candidate.request.rule.id,
    }
    return [Gate(*row) for row in connection.execute(query, parameters)]


def store(
    connection: Connection,
    repository_id: int,
    work_item: UUID,
    attempts: Sequence[Attempt],
    candidates: Sequence[Candidate],
) -> None:
    """Store what was tried for one item, the candidates, and the gates' answers."""
    columns = [
        "work_item_id",
        "repository_id",
        "generator",
        "rule_id",
        "language",
        "input_digest",
        "outcome",
        "proposals",
        "problem",
        "seconds",
        "usage",
        "cost",
    ]
    rows = [
        (
            work_item,
            repository_id,
            one.ask.generator,
            one.ask.request.rule.id,
            one.ask.request.language,
            one.input_digest,
            one.outcome,
            len(one.proposals),
            one.problem,
            one.seconds,
            to_json(one.usage, "the usage"),
            float(one.usage.get("cost", 0.0)),
        )
        for one in attempts
    ]
    copy_rows(connection, generation_attempts, columns, rows)
    insert = text("""
        INSERT INTO candidates (id, work_item_id, repository_id, base_commit, digest, patch, paths, lines, rule_id,
                                rule_version, rule_digest, language, sources, status, score)
        VALUES (:id, :work_item, :repository_id, :base, :digest, :patch, :paths, :lines, :rule, :rule_version,
                :rule_digest, :language, :sources, :status, :score)
        ON CONFLICT (work_item_id, base_commit, digest) DO UPDATE SET status = excluded.status,
            sources = excluded.sources, score = excluded.score, rule_version = excluded.rule_version,
            rule_digest = excluded.rule_digest
        RETURNING id
    """)
    gate = text("""
        INSERT INTO gate_results (base_commit, digest, rule_id, gate, version, seq, verdict, evidence, seconds)
        VALUES (:base, :digest, :rule, :gate, :version, :seq, :verdict, :evidence, :seconds)
        ON CONFLICT (base_commit, digest, rule_id, gate, version) DO NOTHING
    """)
    for one in candidates:
        shared = {"base": one.base, "digest": one.patch.digest, "rule": one.request.rule.id}
        one.id = connection.execute(
            insert,
            {
                **shared,
                "id": one.id,
                "work_item": one.work_item_id,
                "repository_id": one.repository_id,
                "patch": one.patch.text,
                "paths": list(one.patch.paths),
                "lines": one.patch.lines,
                "rule_version": one.request.rule.version,
                "rule_digest": one.request.rule.digest,
                "language": one.request.language,
                "sources": one.sources,
                "status": one.status,
                "score": one.score,
            },
        ).scalar_one()
        answers = [
            {
                **shared,
                "gate": g.name,
                "version": validation.VERSION,
                "seq": seq,
                "verdict": g.verdict,
                "evidence": g.evidence.replace("\0", ""),
                "seconds": g.seconds,
            }
            for seq, g in enumerate(one.gates)
        ]
        if answers:
            connection.execute(gate, answers)


def get(connection: Connection, candidate_id: UUID) -> dict[str, Any]:
    """One candidate, whole.

    Raises:
        QflowError: there is none.
    """
    row = connection.execute(text("SELECT * FROM candidates WHERE id = :id"), {"id": candidate_id}).mappings()
    found = row.one_or_none()
    if found is None:
        raise QflowError(f"there is no candidate {candidate_id}")
    return dict(found)


def gates_of(connection: Connection, candidate_id: UUID) -> list[dict[str, Any]]:
    """The gates of one candidate, in order."""
    query = text("""
        SELECT g.gate, g.verdict, g.evidence, g.seconds FROM candidates c JOIN gate_results g
          ON g.base_commit = c.base_commit AND g.digest = c.digest AND g.rule_id = c.rule_id
        WHERE c.id = :id AND g.version = :version ORDER BY g.seq
    """)
    rows = connection.execute(query, {"id": candidate_id, "version": validation.VERSION})
    return [dict(row) for row in rows.mappings()]


def record_outcome(connection: Connection, candidate_id: UUID, outcome: str) -> None:
    """What became of a candidate: accepted, denied or reverted."""
    connection.execute(
        text("UPDATE candidates SET outcome = :outcome WHERE id = :id"),
        {"id": candidate_id, "outcome": outcome},
    )


def counts(connection: Connection, repository_id: int) -> dict[str, int]:
    """Candidates of a repository by status."""
    query = text(
        "SELECT status, count(*) AS number FROM candidates WHERE repository_id = :id GROUP BY 1 ORDER BY 1"
    )
    return {row.status: row.number for row in connection.execute(query, {"id": repository_id})}


def analytics(
    connection: Connection, repository_id: int | None = None, *, by: str = "generator"
) -> list[dict[str, Any]]:
    """By generator, rule or language: asked, proposed, failed, candidates passed, accepted, reverted, seconds, cost."""
    attempt, candidate = {
        "generator": ("generator", "source"),
        "rule": ("rule_id", "rule_id"),
        "language": ("language", "language"),
    }[by]
    query = text(f"""
        SELECT a.of AS {by}, a.asked, a.proposed, a.failed, coalesce(c.passed, 0) AS passed,
               coalesce(c.accepted, 0) AS accepted, coalesce(c.reverted, 0) AS reverted, a.seconds, a.cost
        FROM (
            SELECT {attempt} AS of, count(*) AS asked, count(*) FILTER (WHERE outcome = 'proposed') AS proposed,
                   count(*) FILTER (WHERE outcome = 'failed') AS failed,
                   round(sum(seconds)::numeric, 2)::float AS seconds,
                   round(sum(cost)::numeric, 4)::float AS cost
            FROM generation_attempts
            WHERE CAST(:id AS bigint) IS NULL OR repository_id = :id GROUP BY 1
        ) AS a LEFT JOIN (
            SELECT {candidate} AS of, count(DISTINCT id) FILTER (WHERE status = 'passed') AS passed,
                   count(DISTINCT id) FILTER (WHERE outcome = 'accepted') AS accepted,
                   count(DISTINCT id) FILTER (WHERE outcome = 'reverted') AS reverted
            FROM candidates CROSS JOIN unnest(sources) AS source
            WHERE CAST(:id AS bigint) IS NULL OR repository_id = :id GROUP BY 1
        ) AS c ON c.of = a.of ORDER BY a.asked DESC, a.of
    """)
    return [dict(row) for row in connection.execute(query, {"id": repository_id}).mappings()]
