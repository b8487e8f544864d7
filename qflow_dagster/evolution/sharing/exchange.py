"""Sharing rules with other instances: what ours are worth to others, and what theirs become here.

Belongs here: bringing standings, lives and outcomes together with packages and votes. Does not belong
here: files and signatures (`rule_packages`), places (`shared_places`), the numbers of a consensus
(`consensus`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from qflow_dagster.evolution import outcomes, rule_set, thresholds, trust
from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.evolution.sharing import publisher, votes
from qflow_dagster.evolution.sharing.consensus import Outcomes
from qflow_dagster.evolution.sharing.imports import ImportReport, import_packages, imported_rules
from qflow_dagster.evolution.sharing.publisher import Publishable, PublishReport
from qflow_dagster.evolution.sharing.votes import OwnVote, Settled


class Received(NamedTuple):
    """What an import came to: the files, rules that are on trial now, votes not cast (why), what was agreed."""

    report: ImportReport
    begun: list[str]
    not_cast: dict[str, str]
    settled: list[Settled]


def publish(
    engine: Engine,
    place: str | Path,
    *,
    rules: Sequence[str] = (),
    limit: int = 10,
    include_examples: bool = False,
) -> PublishReport:
    """Publish what is trusted enough (of those rules; default: of all) into a place.

    Raises:
        QflowError: the place cannot be used.
    """
    with engine.begin() as connection:
        chosen = [one for one in publishables(connection) if not rules or one.rule.id in rules]
        threshold = thresholds.current(connection)["publish"]
        return publisher.publish(
            connection, place, chosen, threshold=threshold, limit=limit, include_examples=include_examples
        )


def take_in(engine: Engine, place: str | Path, *, trust: Sequence[str] = (), actor: str) -> Received:
    """Import what others published, put it on trial, say what we know of it, and count the votes.

    Raises:
        QflowError: the place cannot be used; a key in `trust` is none.
    """
    with engine.begin() as connection:
        report = import_packages(connection, place, trust=trust, actor=actor)
        begun = []
        for one in report.imported:
            if one.was_here:
                continue
            words = f"imported from {one.instance.label}"
            life = rule_set.begin_lifecycle(connection, one.rule, "imported", words, actor=actor)
            if life is not None:
                rule_set.change(connection, life, "trial", actor=actor, reason=words)
                begun.append(one.rule.id)
        evidence = outcomes.evidence(connection)
        own = [
            OwnVote.of(subject, _own(evidence.get(subject.digest))) for subject in votes.subjects(connection)
        ]
        not_cast = votes.cast(connection, place, own)
        settled = votes.settle(connection)
    return Received(report, begun, not_cast, settled)


def publishables(connection: Connection) -> list[Publishable]:
    """Every rule that holds, with what this instance saw of it itself."""
    rules = rule_set.current(connection)
    known = trust.of_rules(connection, rules)
    evidence = outcomes.evidence(connection)
    counted = {bytes(row["digest"]): row for row in outcomes.counts(connection)}
    lives = {bytes(life.digest): life for life in rule_set.lifecycles(connection)}
    chains = {
        one.rule.digest: (*one.package.chain, one.instance.fingerprint) for one in imported_rules(connection)
    }
    when = {bytes(row.digest): row for row in connection.execute(_WHEN)}
    score = trust.evaluate_calibration(connection).brier
    found = []
    for rule in rules:
        one, own = known[rule.digest], _own(evidence.get(rule.digest))
        seen: dict[str, Any] = {
            "accepted": one.good,
            "denied": one.bad,
            "uses": own.uses,
            "successes": own.successes,
        }
        if rule.digest in counted:
            seen["outcomes"] = {kind: counted[rule.digest][kind] for kind in outcomes.KINDS}
        if rule.digest in when:
            row = when[rule.digest]
            seen |= {
                "repositories": row.repositories,
                "first_at": row.first,
                "last_at": row.last,
                "calibration": score,
            }
        life = lives.get(rule.digest)
        found.append(
            Publishable(
                rule=rule,
                confidence_mean=one.mean,
                confidence_lower=one.lower,
                evidence=seen,
                origin="shipped" if life is None else life.origin,
                chain=chains.get(rule.digest, ()),
            )
        )
    shipped = {rule.digest for rule in load_rules()}
    # What only says what its pack says is nothing to tell.
    return [one for one in found if one.rule.digest not in shipped or one.evidence["uses"]]


_WHEN = text("""
SELECT digest, count(DISTINCT repository_id) AS repositories, min(at) AS first, max(at) AS last FROM rule_outcomes
WHERE weight > 0 GROUP BY digest
""")


def _own(evidence: outcomes.Evidence | None) -> Outcomes:
    if evidence is None:
        return Outcomes(0, 0)
    return Outcomes(len(evidence.labelled), sum(one.good for one in evidence.labelled))
