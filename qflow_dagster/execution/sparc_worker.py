"""Work on goals: claim phases and run them, follow up waiting completions, measure targets.

Belongs here: one worker's loop. Does not belong here: what follows a verdict (`sparc`), producing
the artifacts of phases (passed as `makers`).
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, select, text, update

from qflow_dagster.execution import sparc, sparc_targets
from qflow_dagster.execution.sparc import GOAL_TYPE, PHASE_TYPE, CompletionCheck, Maker, PhaseResult
from qflow_dagster.execution.sparc_targets import Target
from qflow_dagster.execution.tables import sparc_goals, sparc_phases
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.quantumflow import Workflow, claim, due, fail
from qflow_dagster.quantumflow.draining import attempt
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.safety import logs

logger = logs.logger(__name__)


class PhaseCounts(NamedTuple):
    """The result of a worker: phases run, of those rejected, failed attempts; goals met."""

    phases: int = 0
    rejected: int = 0
    failed: int = 0
    met: int = 0


def work(
    engine: Engine,
    makers: Mapping[str, Maker],
    check_completion: CompletionCheck,
    *,
    worker: str,
    run_id: str | None = None,
    limit: int = 500,
) -> PhaseCounts:
    """Run phases until none is ready, follow up waiting completions, and measure targets."""
    release_ended(engine)
    totals = PhaseCounts()
    while totals.phases + totals.failed < limit:
        totals = totals._replace(rejected=totals.rejected + follow_up(engine, check_completion))
        with engine.begin() as connection:
            claimed = claim(connection, PHASE_TYPE, worker=worker, limit=1, run_id=run_id)
        if not claimed:
            break
        with kept_alive(engine, claimed):
            verdict = _run_phase(engine, makers, claimed[0])
        totals = totals._replace(
            phases=totals.phases + (verdict is not None),
            rejected=totals.rejected + (verdict == "rejected"),
            failed=totals.failed + (verdict is None),
        )
    return totals._replace(met=measure_targets(engine))


def _run_phase(engine: Engine, makers: Mapping[str, Maker], held: Workflow) -> str | None:
    def run() -> str:
        started = time.monotonic()
        with engine.connect() as connection:
            goal, phase = sparc.goal_of(connection, held.id)
        result = makers[phase](engine, goal)
        with engine.begin() as connection:
            _store(connection, held.id, result, time.monotonic() - started)
            sparc.conclude(connection, held, goal, phase, result.gate)
        return result.gate.verdict

    def report_failure(error: dict[str, Any]) -> None:
        with engine.begin() as connection:
            [status] = fail(connection, [held], [error])
            if status == "failed":
                goal, phase = sparc.goal_of(connection, held.id)
                sparc.escalate(connection, goal, f"{phase} failed: {error['message']}")

    return attempt(held, "phase", run, report_failure)


def _store(connection: Connection, id_: UUID, result: PhaseResult, seconds: float) -> None:
    table = sparc_phases
    connection.execute(
        update(table)
        .where(table.c.id == id_)
        .values(
            artifact=result.artifact,
            data=to_jsonb(result.data, "the data of a phase", default=str),
            author=result.author,
            seconds=table.c.seconds + seconds,
            cost=table.c.cost + result.cost,
        )
    )


_ENDED = text(f"""
SELECT DISTINCT ON (g.id) p.id, w.status FROM workflows w JOIN sparc_goals g ON g.id = w.id
JOIN sparc_phases p ON p.goal_id = g.id JOIN workflows pw ON pw.id = p.id
WHERE w.type = '{GOAL_TYPE}' AND w.finished_at IS NOT NULL AND pw.finished_at IS NULL ORDER BY g.id, p.id DESC
""")


def release_ended(engine: Engine) -> None:
    """Release what goals still hold that were cancelled or whose time is over."""
    with engine.begin() as connection:
        for row in connection.execute(_ENDED).all():
            goal, _ = sparc.goal_of(connection, row.id)
            sparc.release(
                connection, goal, f"its goal is {row.status}", met=row.status == "met", actor=sparc.ACTOR
            )


def waiting(connection: Connection) -> bool:
    """Return whether there is work: a phase to run, a target to measure again, or an ended goal to release."""
    return (
        due(connection, [PHASE_TYPE])
        or connection.execute(_TRACKED, {"limit": 1}).first() is not None
        or connection.execute(_ENDED).first() is not None
    )


_WAITING = text(f"""
SELECT p.id, p.data FROM sparc_phases p JOIN workflows w ON w.id = p.id
WHERE w.type = '{PHASE_TYPE}' AND w.status = 'waiting' ORDER BY p.id LIMIT :limit
""")


def _locked_status(id_: UUID) -> Select[tuple[str]]:
    return select(workflows.c.status).where(workflows.c.id == id_).with_for_update(skip_locked=True)


def follow_up(engine: Engine, check_completion: CompletionCheck, *, limit: int = 500) -> int:
    """Conclude completions whose change was decided and verified (or was not); return how many were rejected."""
    with engine.connect() as connection:
        rows = connection.execute(_WAITING, {"limit": limit}).all()
    rejected = 0
    for row in rows:
        with engine.begin() as connection:
            if connection.scalar(_locked_status(row.id)) != "waiting":
                continue
            goal, phase = sparc.goal_of(connection, row.id)
            gate = check_completion(connection, goal, row.data)
            if gate is not None:
                sparc.conclude(connection, row.id, goal, phase, gate)
                rejected += gate.verdict == "rejected"
    return rejected


_TRACKED = text(f"""
SELECT g.id, g.target, g.measured, r.name AS repository, n.commit_oid,
       (SELECT p.id FROM sparc_phases p WHERE p.goal_id = g.id ORDER BY p.id DESC LIMIT 1) AS phase_id
FROM workflows w JOIN sparc_goals g ON g.id = w.id JOIN repositories r ON r.id = g.repository_id
JOIN snapshots n ON n.id = r.current_snapshot_id
WHERE w.type = '{GOAL_TYPE}' AND w.status IN ('tracking', 'needs_person') AND NOT g.measured ? n.commit_oid
ORDER BY g.id LIMIT :limit
""")


def measure_targets(engine: Engine, *, limit: int = 500) -> int:
    """Measure targets on snapshots they were not measured on yet; return how many goals are met."""
    met = 0
    with engine.connect() as connection:
        rows = connection.execute(_TRACKED, {"limit": limit}).all()
    for row in rows:
        with engine.begin() as connection:
            if connection.scalar(_locked_status(row.id)) not in ("tracking", "needs_person"):
                continue
            target = Target.model_validate(row.target)
            value = sparc_targets.measure(connection, current_snapshot(connection, row.repository), target)
            measured = sparc_goals.c.measured.concat(to_jsonb({row.commit_oid: value}, "a measure"))
            connection.execute(
                update(sparc_goals).where(sparc_goals.c.id == row.id).values(measured=measured)
            )
            if target.holds(value):
                goal, _ = sparc.goal_of(connection, row.phase_id)
                sparc.end(
                    connection, goal, "met", f"at {row.commit_oid[:10]}: {target.description} ({value:g})"
                )
                met += 1
    return met
