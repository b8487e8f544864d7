"""Rule evolution, from outcomes to the rules in force: four steps; assets take them one by one, `evolve` in order."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine

from qflow_dagster.agents import rule_changes
from qflow_dagster.agents.rule_changes import TrialsResult
from qflow_dagster.evolution import location_records, outcomes, rule_evolver, trust
from qflow_dagster.evolution.mining import drafts
from qflow_dagster.evolution.rule_evolver import StartedTrial, Verdict
from qflow_dagster.evolution.thresholds import Change
from qflow_dagster.evolution.trust import LevelChange
from qflow_dagster.progress import ReportProgress
from qflow_dagster.quantumflow.recording import recorded


class CollectedOutcomes(NamedTuple):
    """How many outcomes were new, and of how many matches the code was stored."""

    new: int
    stored_matches: int


class ConfidenceChanges(NamedTuple):
    """Thresholds that were changed, and rules whose trust level was."""

    thresholds: list[Change]
    levels: list[LevelChange]


class EvolutionResult(NamedTuple):
    """The result of one pass of rule evolution, step by step."""

    outcomes: CollectedOutcomes
    confidence: ConfidenceChanges
    variants: list[StartedTrial]
    verdicts: TrialsResult


def evolve(engine: Engine, *, worker: str, run_id: str | None = None) -> EvolutionResult:
    """Let rules learn from decisions: take the four steps in order."""
    return EvolutionResult(
        collect_outcomes(engine),
        update_confidence(engine, run_id=run_id),
        start_trials(engine, worker=worker, run_id=run_id),
        judge_trials(engine, worker=worker, run_id=run_id),
    )


def collect_outcomes(engine: Engine) -> CollectedOutcomes:
    """Collect new outcomes, and store the code they are about."""
    with engine.begin() as connection:
        new = outcomes.collect(connection)
    return CollectedOutcomes(new, location_records.store_missing(engine))


def update_confidence(engine: Engine, *, run_id: str | None = None) -> ConfidenceChanges:
    """Adapt the thresholds, then the trust levels: what rules may do follows from the thresholds."""
    with engine.begin() as connection:
        return ConfidenceChanges(trust.adapt(connection), trust.refresh(connection, run_id=run_id))


def start_trials(engine: Engine, *, worker: str, run_id: str | None = None) -> list[StartedTrial]:
    """Search for better variants of rules and start their trials, recorded as a workflow."""
    with recorded(engine, rule_evolver.TYPE, {}, worker=worker, run_id=run_id) as record:
        variants = rule_evolver.vary(engine, run_id=run_id)
        record({"variants": [f"{v.rule_id} version {v.version}: {v.description}" for v in variants]})
    return variants


def judge_trials(engine: Engine, *, worker: str, run_id: str | None = None) -> TrialsResult:
    """Follow decisions, judge the trials, end those that failed and request approval of those that did not."""
    return rule_changes.finalize_trials(engine, worker=worker, run_id=run_id)


def mine(
    engine: Engine,
    repository: str,
    *,
    worker: str,
    run_id: str | None = None,
    progress: ReportProgress | None = None,
) -> list[tuple[Verdict, UUID]]:
    """Mine a repository's history for rules, and request approval of the trials of the best.

    Returns each new draft with the id of its approval. Raises as `drafts.mine`.
    """
    mined = drafts.mine(engine, repository, worker=worker, run_id=run_id, progress=progress)
    with engine.begin() as connection:
        approvals = rule_changes.propose(connection, mined, run_id=run_id)
    return list(zip(mined, approvals, strict=True))
