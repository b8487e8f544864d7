"""The complete procedures of publishing rules to other instances and importing theirs.

Combines trust, lifecycles and outcomes of rules with packages (`rule_packages`), stores (`shared_stores`) and
votes (`votes`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, select

from qflow_dagster.evolution import outcomes, rule_set, thresholds, trust
from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.evolution.sharing import publisher, votes
from qflow_dagster.evolution.sharing.consensus import Outcomes
from qflow_dagster.evolution.sharing.imports import RuleImportResult, import_packages, imported_rules
from qflow_dagster.evolution.sharing.publisher import PublicationResult, Publishable
from qflow_dagster.evolution.sharing.votes import ConsensusChange, OwnVote
from qflow_dagster.evolution.tables import rule_outcomes


class ExchangeResult(NamedTuple):
    """The result of an import: files, rules now on trial, votes not cast (with reasons), consensus changes."""

    report: RuleImportResult
    started: list[str]
    not_cast: dict[str, str]
    consensus_changes: list[ConsensusChange]


def publish(
    engine: Engine,
    store: str | Path,
    *,
    rules: Sequence[str] = (),
    limit: int = 10,
    include_examples: bool = False,
) -> PublicationResult:
    """Publish the rules with enough confidence (of `rules`; default: of all) to a store.

    Raises:
        QflowError: The store cannot be used.
    """
    with engine.begin() as connection:
        selected = [
            candidate for candidate in publishables(connection) if not rules or candidate.rule.id in rules
        ]
        threshold = thresholds.current(connection)["publish"]
        return publisher.publish(
            connection, store, selected, threshold=threshold, limit=limit, include_examples=include_examples
        )


def import_rules(
    engine: Engine, store: str | Path, *, trust: Sequence[str] = (), actor: str
) -> ExchangeResult:
    """Import rules that others published, start their trials, cast our votes, and finalize due votes.

    Raises:
        QflowError: The store cannot be used, or a key in `trust` is invalid.
    """
    with engine.begin() as connection:
        report = import_packages(connection, store, trust=trust, actor=actor)
        started = []
        for imported in report.imported:
            if imported.was_here:
                continue
            description = f"imported from {imported.instance.label}"
            lifecycle_id = rule_set.begin_lifecycle(
                connection, imported.rule, "imported", description, actor=actor
            )
            if lifecycle_id is not None:
                rule_set.change(connection, lifecycle_id, "trial", actor=actor, reason=description)
                started.append(imported.rule.id)
        evidence = outcomes.evidence(connection)
        own = [
            OwnVote.of(subject, _own(evidence.get(subject.digest))) for subject in votes.subjects(connection)
        ]
        not_cast = votes.cast(connection, store, own)
        consensus_changes = votes.finalize(connection)
    return ExchangeResult(report, started, not_cast, consensus_changes)


def publishables(connection: Connection) -> list[Publishable]:
    """Return every rule in force, with the evidence of this instance."""
    rules = rule_set.current(connection)
    trust_levels = trust.of_rules(connection, rules)
    evidence = outcomes.evidence(connection)
    counted = {bytes(row["digest"]): row for row in outcomes.counts(connection)}
    lifecycles = {bytes(lifecycle.digest): lifecycle for lifecycle in rule_set.lifecycles(connection)}
    chains = {
        imported.rule.digest: (*imported.package.chain, imported.instance.fingerprint)
        for imported in imported_rules(connection)
    }
    periods = {bytes(row.digest): row for row in connection.execute(_WHEN)}
    score = trust.evaluate_calibration(connection).brier
    candidates = []
    for rule in rules:
        rule_trust, own = trust_levels[rule.digest], _own(evidence.get(rule.digest))
        seen_evidence: dict[str, Any] = {
            "accepted": rule_trust.good,
            "denied": rule_trust.bad,
            "uses": own.uses,
            "successes": own.successes,
        }
        if rule.digest in counted:
            seen_evidence["outcomes"] = {kind: counted[rule.digest][kind] for kind in outcomes.KINDS}
        if rule.digest in periods:
            row = periods[rule.digest]
            seen_evidence |= {
                "repositories": row.repositories,
                "first_at": row.first,
                "last_at": row.last,
                "calibration": score,
            }
        lifecycle = lifecycles.get(rule.digest)
        candidates.append(
            Publishable(
                rule=rule,
                confidence_mean=rule_trust.mean,
                confidence_lower=rule_trust.lower,
                evidence=seen_evidence,
                origin="shipped" if lifecycle is None else lifecycle.origin,
                chain=chains.get(rule.digest, ()),
            )
        )
    shipped = {rule.digest for rule in load_rules()}
    # A shipped rule without outcomes adds nothing to its pack.
    return [
        candidate
        for candidate in candidates
        if candidate.rule.digest not in shipped or candidate.evidence["uses"]
    ]


_WHEN = (
    select(
        rule_outcomes.c.digest,
        func.count(rule_outcomes.c.repository_id.distinct()).label("repositories"),
        func.min(rule_outcomes.c.at).label("first"),
        func.max(rule_outcomes.c.at).label("last"),
    )
    .where(rule_outcomes.c.weight > 0)
    .group_by(rule_outcomes.c.digest)
)


def _own(evidence: outcomes.Evidence | None) -> Outcomes:
    if evidence is None:
        return Outcomes(0, 0)
    return Outcomes(len(evidence.labelled), sum(outcome.good for outcome in evidence.labelled))
