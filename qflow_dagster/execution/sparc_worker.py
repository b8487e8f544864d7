"""Working on goals: claim phases and make them, follow what completions wait for, measure targets.

Belongs here: one worker's loop. Does not belong here: what follows a verdict (`sparc`), what phases
put out (handed in as `makers`).
"""

import time
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.execution import sparc, sparc_targets
from qflow_dagster.execution.sparc import GOAL_TYPE, PHASE_TYPE, Judge, Made, Maker
from qflow_dagster.execution.sparc_targets import Target
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.quantumflow import LeaseLostError, Workflow, claim, due, fail
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact

logger = logs.logger(__name__)


class Done(NamedTuple):
    """What a drain did: phases made, of those rejected, failed attempts; goals met."""

    made: int = 0
    rejected: int = 0
    failed: int = 0
    met: int = 0


def work(
    engine: Engine,
    makers: Mapping[str, Maker],
    judge: Judge,
    *,
    worker: str,
    run_id: str | None = None,
    limit: int = 500,
) -> Done:
    """Make phases until none waits, follow what completions wait for, and measure targets."""
    tidy(engine)
    done = Done()
    while done.made + done.failed < limit:
        done = done._replace(rejected=done.rejected + follow(engine, judge))
        with engine.begin() as connection:
            claimed = claim(connection, PHASE_TYPE, worker=worker, limit=1, run_id=run_id)
        if not claimed:
            break
        with kept_alive(engine, claimed):
            verdict = _make(engine, makers, claimed[0])
        done = done._replace(
            made=done.made + (verdict is not None),
            rejected=done.rejected + (verdict == "rejected"),
            failed=done.failed + (verdict is None),
        )
    return done._replace(met=track(engine))


def _make(engine: Engine, makers: Mapping[str, Maker], held: Workflow) -> str | None:
    started = time.monotonic()
    try:
        with engine.connect() as connection:
            goal, phase = sparc.goal_of(connection, held.id)
        made = makers[phase](engine, goal)
        with engine.begin() as connection:
            _store(connection, held.id, made, time.monotonic() - started)
            sparc.conclude(connection, held, goal, phase, made.gate)
        return made.gate.verdict
    except LeaseLostError:
        logger.warning("the phase %s is somebody else's by now", held.id)
    except Exception as error:
        # One goal that cannot be worked on must not keep the others from it.
        if not isinstance(error, QflowError):
            logger.exception("phase %s", held.id)
        _report(engine, held, {"kind": type(error).__name__, "message": redact(str(error))[:2_000]})
    return None


def _report(engine: Engine, held: Workflow, why: dict[str, str]) -> None:
    try:
        with engine.begin() as connection:
            [status] = fail(connection, [held], [why])
            if status == "failed":
                goal, phase = sparc.goal_of(connection, held.id)
                sparc.ask_person(connection, goal, f"{phase} failed: {why['message']}")
    except LeaseLostError:
        logger.warning("the phase %s is somebody else's by now", held.id)


def _store(connection: Connection, id_: UUID, made: Made, seconds: float) -> None:
    query = text("""
        UPDATE sparc_phases SET artifact = :artifact, data = CAST(:data AS jsonb), author = :author,
            seconds = seconds + :seconds, cost = cost + :cost WHERE id = :id
    """)
    data = to_json(made.data, "what a phase made", default=str)
    values = {"id": id_, "artifact": made.artifact, "data": data, "author": made.author}
    connection.execute(query, values | {"seconds": seconds, "cost": made.cost})


_ENDED = text(f"""
SELECT DISTINCT ON (g.id) p.id, w.status FROM workflows w JOIN sparc_goals g ON g.id = w.id
JOIN sparc_phases p ON p.goal_id = g.id JOIN workflows pw ON pw.id = p.id
WHERE w.type = '{GOAL_TYPE}' AND w.finished_at IS NOT NULL AND pw.finished_at IS NULL ORDER BY g.id, p.id DESC
""")


def tidy(engine: Engine) -> None:
    """Stop what is left of goals that were cancelled, or whose term is over."""
    with engine.begin() as connection:
        for row in connection.execute(_ENDED).all():
            goal, _ = sparc.goal_of(connection, row.id)
            sparc.release(
                connection, goal, f"its goal is {row.status}", met=row.status == "met", actor=sparc.ACTOR
            )


def waiting(connection: Connection) -> bool:
    """Whether there is a phase to make, a target to measure anew, or a goal to tidy up after."""
    return (
        due(connection, [PHASE_TYPE])
        or connection.execute(_TRACKED, {"limit": 1}).first() is not None
        or connection.execute(_ENDED).first() is not None
    )


_WAITING = text(f"""
SELECT p.id, p.data FROM sparc_phases p JOIN workflows w ON w.id = p.id
WHERE w.type = '{PHASE_TYPE}' AND w.status = 'waiting' ORDER BY p.id LIMIT :limit
""")


def follow(engine: Engine, judge: Judge, *, limit: int = 500) -> int:
    """Let completions go on whose change was decided and verified, or was not; returns how many were rejected."""
    with engine.connect() as connection:
        rows = connection.execute(_WAITING, {"limit": limit}).all()
    rejected = 0
    for row in rows:
        with engine.begin() as connection:
            locked = text("SELECT status FROM workflows WHERE id = :id FOR UPDATE SKIP LOCKED")
            if connection.scalar(locked, {"id": row.id}) != "waiting":
                continue
            goal, phase = sparc.goal_of(connection, row.id)
            gate = judge(connection, goal, row.data)
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


def track(engine: Engine, *, limit: int = 500) -> int:
    """Measure targets on snapshots they were not measured on; returns how many goals are met."""
    met = 0
    with engine.connect() as connection:
        rows = connection.execute(_TRACKED, {"limit": limit}).all()
    for row in rows:
        with engine.begin() as connection:
            status = connection.scalar(
                text("SELECT status FROM workflows WHERE id = :id FOR UPDATE SKIP LOCKED"), {"id": row.id}
            )
            if status not in ("tracking", "needs_person"):
                continue
            target = Target.model_validate(row.target)
            value = sparc_targets.measure(connection, current_snapshot(connection, row.repository), target)
            query = text("UPDATE sparc_goals SET measured = measured || CAST(:new AS jsonb) WHERE id = :id")
            connection.execute(query, {"id": row.id, "new": to_json({row.commit_oid: value}, "a measure")})
            if target.holds(value):
                goal, _ = sparc.goal_of(connection, row.phase_id)
                sparc.end(connection, goal, "met", f"at {row.commit_oid[:10]}: {target.words} ({value:g})")
                met += 1
    return met
