"""Drafts: mining a repository's history (`rule_miner`) and storing new rules as drafts."""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from qflow_dagster.evolution import rule_evolver, rule_set
from qflow_dagster.evolution.mining import rule_miner
from qflow_dagster.evolution.mining.rule_miner import MinedRule
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
    """Mine a repository's history up to its current snapshot and store the best new rules as drafts.

    Returns the verdict of each draft, that it should go on trial, and why: the content of the approval request.

    Raises:
        QflowError: The repository is unknown or cannot be read.
    """
    with recorded(engine, TYPE, {"repository": repository}, worker=worker, run_id=run_id) as record:
        with engine.connect() as connection:
            objects = repositories.find(connection, repository).objects
            snapshot = current_snapshot(connection, repository)
        mined_rules = rule_miner.mine(objects, tip=snapshot.commit_oid, progress=progress).rules
        with engine.begin() as connection:
            verdicts = store(connection, repository, mined_rules)
        record({"commit": snapshot.commit_oid, "mined": len(mined_rules), "new": len(verdicts)})
    return verdicts


def store(connection: Connection, repository: str, mined_rules: Sequence[MinedRule]) -> list[Verdict]:
    """Store mined rules as drafts, best first, up to the configured number; skip those that were tried before."""
    rule_set.one_at_a_time(connection)
    tried = rule_evolver.tried_fingerprints(connection)
    verdicts: list[Verdict] = []
    for mined in mined_rules:
        if len(verdicts) == settings().evolution.drafts:
            break
        rule = mined.rule.model_copy(update={"version": rule_set.next_version(connection, mined.rule.id)})
        if rule_evolver.fingerprint(rule) in tried:
            continue
        support, check = mined.support, mined.check
        description = (
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
        lifecycle_id = rule_set.begin_lifecycle(
            connection, rule, "mined", description, actor=ACTOR, evidence=evidence
        )
        if lifecycle_id is not None:
            verdicts.append(Verdict(lifecycle_id, rule.id, rule.version, "trial", description, evidence))
    return verdicts
