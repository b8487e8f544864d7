"""Store and read attempts, candidates and gate results.

Belongs here: their SQL, and the acceptance expected from past outcomes of a rule and a generator.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import QflowError
from qflow_dagster.generation import validation
from qflow_dagster.generation.candidates import Candidate, WithheldLocation
from qflow_dagster.generation.tables import candidates as table
from qflow_dagster.generation.tables import gate_results, generation_attempts, withheld_locations
from qflow_dagster.generation.validation import Gate
from qflow_dagster.generation.workers import Attempt
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety.storable import storable

# The weight of a rule's stated confidence, in decisions: as many real decisions count as much.
PRIOR_WEIGHT = 5.0


def acceptance_estimates(connection: Connection) -> Callable[[str, str, float], float]:
    """Return a function of (rule, generator, the rule's confidence): the expected acceptance, a Beta posterior's mean.

    The prior is Beta(5 c, 5 (1 - c)) with the rule's stated confidence c; accepted and denied or reverted
    candidates are the evidence.
    """
    query = text("""
        SELECT c.rule_id, source, count(*) FILTER (WHERE c.outcome = 'accepted') AS accepted, count(*) AS decided
        FROM candidates c CROSS JOIN unnest(c.sources) AS source
        WHERE c.outcome IS NOT NULL GROUP BY 1, 2
    """)
    by_source = {(row.rule_id, row.source): (row.accepted, row.decided) for row in connection.execute(query)}

    def estimate(rule: str, generator: str, confidence: float) -> float:
        accepted, decided = by_source.get((rule, generator), (0, 0))
        return (PRIOR_WEIGHT * confidence + accepted) / (PRIOR_WEIGHT + decided)

    return estimate


def stored_gates(connection: Connection, candidate: Candidate) -> list[Gate]:
    """Return the stored results of this version's gates for the same patch on the same commit, in order."""
    results = gate_results.c
    query = (
        select(results.gate, results.verdict, results.evidence, results.seconds)
        .where(
            results.base_commit == candidate.base,
            results.digest == candidate.patch.digest,
            results.rule_id == candidate.request.rule.id,
            results.version == validation.VERSION,
        )
        .order_by(results.seq)
    )
    return [Gate(*row) for row in connection.execute(query)]


def store(
    connection: Connection,
    repository_id: int,
    work_items: Mapping[str, UUID],
    attempts: Sequence[Attempt],
    candidates: Sequence[Candidate],
    generation: UUID | None = None,
) -> None:
    """Store the attempts for a group of work items (by path), the candidates, and their gate results.

    `generation` is the workflow that requested them.
    """
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
            work_items[attempt.call.request.path],
            repository_id,
            attempt.call.generator,
            attempt.call.request.rule.id,
            attempt.call.request.language,
            attempt.input_digest,
            attempt.outcome,
            len(attempt.proposals),
            attempt.problem,
            attempt.seconds,
            to_json(attempt.usage, "the usage"),
            float(attempt.usage.get("cost", 0.0)),
        )
        for attempt in attempts
    ]
    copy_rows(connection, generation_attempts, columns, rows)
    insert_candidate = insert(table)
    insert_candidate = insert_candidate.on_conflict_do_update(
        index_elements=[table.c.work_item_id, table.c.base_commit, table.c.digest],
        set_={
            name: insert_candidate.excluded[name]
            for name in (
                "status",
                "sources",
                "score",
                "rule_version",
                "rule_digest",
                "work_items",
                "generation_id",
            )
        },
    ).returning(table.c.id)
    insert_gate = insert(gate_results).on_conflict_do_nothing()
    for candidate in candidates:
        shared = {
            "base_commit": candidate.base,
            "digest": candidate.patch.digest,
            "rule_id": candidate.request.rule.id,
        }
        candidate.id = connection.execute(
            insert_candidate,
            {
                **shared,
                "id": candidate.id,
                "work_item_id": candidate.work_items[0],
                "work_items": candidate.work_items,
                "generation_id": generation,
                "locations": storable(candidate.locations),
                "repository_id": candidate.repository_id,
                "patch": candidate.patch.text,
                "paths": list(candidate.patch.paths),
                "lines": candidate.patch.lines,
                "rule_version": candidate.request.rule.version,
                "rule_digest": candidate.request.rule.digest,
                "language": candidate.request.language,
                "sources": candidate.sources,
                "status": candidate.status,
                "score": candidate.score,
            },
        ).scalar_one()
        results = [
            {
                **shared,
                "gate": g.name,
                "version": validation.VERSION,
                "seq": seq,
                "verdict": g.verdict,
                "evidence": g.evidence.replace("\0", ""),
                "seconds": g.seconds,
            }
            for seq, g in enumerate(candidate.gates)
        ]
        if results:
            connection.execute(insert_gate, results)


def store_withheld(connection: Connection, snapshot: Snapshot, locations: Sequence[WithheldLocation]) -> None:
    """Store the locations of a snapshot for which no change is proposed; the latest reason counts."""
    if not locations:
        return
    statement = insert(withheld_locations)
    statement = statement.on_conflict_do_update(
        index_elements=list(withheld_locations.primary_key), set_={"reason": statement.excluded.reason}
    )
    key = {"repository_id": snapshot.repository_id, "base_commit": snapshot.commit_oid}
    rows = [
        {**key, **location._asdict(), "reason": location.reason.replace("\0", "")} for location in locations
    ]
    connection.execute(statement, rows)


def withheld(
    connection: Connection, repository_id: int, base: str, rule_id: str, paths: Sequence[str]
) -> list[dict[str, Any]]:
    """Return path, line and reason of the locations of a rule, in these files of a commit, that get no change."""
    columns = withheld_locations.c
    query = (
        select(columns.path, columns.line, columns.reason)
        .where(
            columns.repository_id == repository_id,
            columns.base_commit == base,
            columns.rule_id == rule_id,
            columns.path.in_(paths),
        )
        .order_by(columns.path, columns.line)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def get(connection: Connection, candidate_id: UUID) -> dict[str, Any]:
    """Return one candidate with all of its columns.

    Raises:
        QflowError: there is no such candidate.
    """
    row = connection.execute(select(table).where(table.c.id == candidate_id)).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no candidate {candidate_id}")
    return dict(row)


def gates_of(connection: Connection, candidate_id: UUID) -> list[dict[str, Any]]:
    """Return the gate results of one candidate, in order."""
    query = text("""
        SELECT g.gate, g.verdict, g.evidence, g.seconds FROM candidates c JOIN gate_results g
          ON g.base_commit = c.base_commit AND g.digest = c.digest AND g.rule_id = c.rule_id
        WHERE c.id = :id AND g.version = :version ORDER BY g.seq
    """)
    rows = connection.execute(query, {"id": candidate_id, "version": validation.VERSION})
    return [dict(row) for row in rows.mappings()]


def record_outcome(connection: Connection, candidate_id: UUID, outcome: str) -> None:
    """Record what became of a candidate: accepted, denied or reverted."""
    connection.execute(update(table).where(table.c.id == candidate_id).values(outcome=outcome))


def counts(connection: Connection, repository_id: int) -> dict[str, int]:
    """Count the candidates of a repository by status."""
    query = (
        select(table.c.status, func.count().label("number"))
        .where(table.c.repository_id == repository_id)
        .group_by(table.c.status)
        .order_by(table.c.status)
    )
    return {row.status: row.number for row in connection.execute(query)}


def analytics(
    connection: Connection, repository_id: int | None = None, *, by: str = "generator"
) -> list[dict[str, Any]]:
    """Return by generator, rule or language: calls, proposals, failures, outcomes of candidates, seconds, cost."""
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
