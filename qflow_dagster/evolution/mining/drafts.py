"""Drafts: rules mined from a repository's history, kept with their examples until somebody wants them.

Belongs here: having a repository mined, and keeping what is new of it. Does not belong here: mining
(`rule_miner`), asking people (the agents).
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from qflow_dagster.evolution import rule_evolver, rule_set
from qflow_dagster.evolution.mining import rule_miner
from qflow_dagster.evolution.mining.rule_miner import Mined
from qflow_dagster.evolution.rule_evolver import Verdict
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.progress import ReportProgress
from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED, recorded
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.settings import settings

TYPE = register(WorkflowTypeName.RULE_MINING, machine=RECORDED).name
ACTOR = "rule miner"


def mine(
    engine: Engine,
    repository: str,
    *,
    worker: str,
    run_id: str | None = None,
    progress: ReportProgress | None = None,
) -> list[Verdict]:
    """Mine a repository's history up to its current snapshot; the best new rules are kept as drafts.

    Returns for each draft that it should go on trial, and why: what a person is then asked.

    Raises:
        QflowError: the repository is unknown or cannot be read.
    """
    with recorded(engine, TYPE, {"repository": repository}, worker=worker, run_id=run_id) as record:
        with engine.connect() as connection:
            objects = repositories.find(connection, repository).objects
            snapshot = current_snapshot(connection, repository)
        found = rule_miner.mine(objects, tip=snapshot.commit_oid, progress=progress)
        with engine.begin() as connection:
            kept = keep(connection, repository, found)
        record({"commit": snapshot.commit_oid, "mined": len(found), "new": len(kept)})
    return kept


def keep(connection: Connection, repository: str, found: Sequence[Mined]) -> list[Verdict]:
    """Keep mined rules as drafts, the best first, as many as are offered at a time; those known are passed over."""
    rule_set.one_at_a_time(connection)
    known = rule_evolver.tried_fingerprints(connection)
    kept: list[Verdict] = []
    for one in found:
        if len(kept) == settings().evolution.drafts:
            break
        rule = one.rule.model_copy(update={"version": rule_set.next_version(connection, one.rule.id)})
        if rule_evolver.fingerprint(rule) in known:
            continue
        support, check = one.support, one.check
        words = (
            f"mined from {repository}: done {support.edits} times in {support.commits} commits by {support.authors} "
            f"authors in {support.files} files; later {check.right} of {check.decided} who touched such code did so"
        )
        evidence = {
            "repository": repository,
            "edits": support.edits,
            "commits": support.commits,
            "authors": support.authors,
            "files": support.files,
            "for_example": ", ".join(support.oids[:5]),
            "right": check.right,
            "decided": check.decided,
            "still_there": check.open,
            "fix": rule.fix,
        }
        life = rule_set.begin_lifecycle(connection, rule, "mined", words, actor=ACTOR, evidence=evidence)
        if life is not None:
            kept.append(Verdict(life, rule.id, rule.version, "trial", words, evidence))
    return kept
