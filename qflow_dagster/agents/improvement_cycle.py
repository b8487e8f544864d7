"""One pass of the improvement loop over a repository: from work items to suggestions that await approval."""

from typing import NamedTuple

from sqlalchemy import Connection, Engine

from qflow_dagster.agents import builtin_agents, self_improvement
from qflow_dagster.generation import orchestrator
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.generators import ON_REQUEST
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.progress import ReportProgress
from qflow_dagster.quantumflow.recording import recorded
from qflow_dagster.settings import settings

# Work items per batch, and the highest number of batches.
BATCH = 10
MAX_BATCHES = 1_000


class CycleResult(NamedTuple):
    """The snapshot, how many suggestions were allowed, and what the generation did in all."""

    snapshot: Snapshot
    remaining_capacity: int
    total: orchestrator.Summary


def generate(
    engine: Engine,
    repository: str,
    *,
    worker: str,
    items: int | None = None,
    run_id: str | None = None,
    progress: ReportProgress | None = None,
) -> CycleResult:
    """Generate, validate and suggest changes for the best work items of a repository, recorded as a workflow.

    `items` limits the work items (default: the setting); so does the number of suggestions that may await approval.
    """
    with recorded(
        engine, self_improvement.CYCLE, {"repository": repository}, worker=worker, run_id=run_id
    ) as record:
        with engine.begin() as connection:
            # First, because external agents are generators then.
            chosen = builtin_agents.chooser(connection)
            snapshot = current_snapshot(connection, repository)
            capacity = self_improvement.remaining_capacity(connection, snapshot.repository_id)
            limit = settings().generation.items if items is None else items
            requested = orchestrator.request_generation(connection, snapshot, limit=min(limit, capacity))
        total = orchestrator.Summary(0, 0, 0, 0)
        for _ in range(MAX_BATCHES):
            batch = orchestrator.work(
                engine,
                worker=worker,
                accept=_suggest,
                run_id=run_id,
                limit=BATCH,
                progress=progress,
                choose=lambda rule: frozenset(chosen(rule)) - frozenset(ON_REQUEST),
                limits_of=self_improvement.limits_of,
            )
            total = orchestrator.Summary(*(a + b for a, b in zip(total, batch, strict=True)))
            if not batch.items:
                break
        record({"requested": len(requested), **total._asdict()})
    with engine.begin() as connection:
        builtin_agents.record_outcomes(connection)
    return CycleResult(snapshot, capacity, total)


def _suggest(connection: Connection, candidate: Candidate) -> None:
    self_improvement.suggest(connection, candidate)
