"""The trust level of each rule: its estimated confidence compared with the thresholds.

The estimate combines the rule's stated confidence, its family's record, evidence of other instances and its
own outcomes. Changes are recorded and notified. The statistics are in `confidence`, the
thresholds in `thresholds`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, text

from qflow_dagster.evolution import calibration, confidence, outcomes, rule_set, thresholds
from qflow_dagster.evolution.calibration import Calibration, Calibrator
from qflow_dagster.evolution.confidence import LEVELS, BetaEstimate, Level
from qflow_dagster.evolution.outcomes import Evidence
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.sharing import votes
from qflow_dagster.evolution.sharing.imports import imported_priors
from qflow_dagster.evolution.tables import rule_confidence, rule_lifecycles
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Queue
from qflow_dagster.settings import settings

# Weight of the parent's outcomes at locations where a variant agrees: less than 1, for they selected it.
INHERITED_WEIGHT = 0.5
# Minimum change of the mean or lower bound that is recorded.
MIN_CHANGE = 0.005


@dataclass(frozen=True)
class RuleTrust:
    """The estimated confidence and trust level of one rule version.

    `good` and `bad` are the decayed weights of its own outcomes; `mean` and `lower` are recalibrated.
    """

    rule: Rule
    estimate: BetaEstimate
    mean: float
    lower: float
    wilson: float
    good: float
    bad: float
    decisions: int
    drifted: bool
    level: Level
    # What prevents a higher level; '' where nothing does.
    because: str


class LevelChange(NamedTuple):
    """A rule version whose trust level changed (`before` is None if it had none), or that started to drift."""

    rule_id: str
    version: int
    before: str | None
    after: str
    drifts: bool


def of_rules(connection: Connection, rules: Sequence[Rule]) -> dict[bytes, RuleTrust]:
    """Return the trust of each of the rules, by digest."""
    return compute(
        rules,
        outcomes.evidence(connection),
        _external_counts(connection),
        thresholds.current(connection),
        current_calibrator(connection),
        settings().evolution.half_life,
        votes.quarantined(connection),
    )


def of_rule(connection: Connection, rule: Rule) -> RuleTrust:
    """Return the trust of one rule version, whether it is in force or not."""
    others = [other for other in rule_set.current(connection) if other.digest != rule.digest]
    return of_rules(connection, [rule, *others])[rule.digest]


def compute(
    rules: Sequence[Rule],
    evidence: Mapping[bytes, Evidence],
    external: Mapping[bytes, tuple[float, float]],
    limits: Mapping[str, float],
    calibrator: Calibrator | None,
    half_life: float,
    quarantined: Set[bytes] = frozenset(),
) -> dict[bytes, RuleTrust]:
    """Compute the trust of each rule, by digest. Pure.

    Args:
        rules: The rules.
        evidence: Their own outcomes, by digest.
        external: (good, bad) counts from a parent or from other instances, by digest.
        limits: The thresholds by name.
        calibrator: Recalibrates estimates, if there is one.
        half_life: Days after which an outcome counts half.
        quarantined: Digests of rules that may only show findings.
    """
    own = {
        digest: confidence.decayed_counts(own_evidence.labelled, half_life)
        for digest, own_evidence in evidence.items()
    }
    families: dict[tuple[str, str], list[float]] = {}
    versions: dict[str, list[float]] = {}
    for rule in rules:
        for sums in (
            families.setdefault(family_of(rule), [0.0, 0.0]),
            versions.setdefault(rule.id, [0.0, 0.0]),
        ):
            for side, weight in enumerate(own.get(rule.digest, (0.0, 0.0))):
                sums[side] += weight
    results = {}
    for rule in rules:
        rule_evidence = evidence.get(rule.digest, Evidence([], []))
        good, bad = own.get(rule.digest, (0.0, 0.0))
        # Other versions of the same rule are not part of its family.
        family, rivals = families[family_of(rule)], versions[rule.id]
        others = (max(family[0] - rivals[0], 0.0), max(family[1] - rivals[1], 0.0))
        prior = confidence.prior(rule.confidence, others, external.get(rule.digest, (0.0, 0.0)))
        drifts = confidence.drifted(rule_evidence.decisions)
        if drifts:
            # The rule has changed its quality: only the newest decisions count.
            recent = rule_evidence.decisions[-confidence.RECENT :]
            estimate = prior.plus(float(sum(recent)), float(len(recent) - sum(recent)))
        else:
            estimate = prior.plus(good, bad)
        mean, lower = _recalibrated(estimate.mean, estimate.lower, calibrator)
        level, because = _level(rule, mean, lower, limits, len(rule_evidence.decisions))
        if rule.digest in quarantined:
            level, because = "show", "it came from another instance, and the instances have not agreed on it"
        results[rule.digest] = RuleTrust(
            rule,
            estimate,
            mean,
            lower,
            confidence.wilson(good, good + bad),
            good,
            bad,
            len(rule_evidence.decisions),
            drifts,
            level,
            because,
        )
    return results


def family_of(rule: Rule) -> tuple[str, str]:
    """Return the family of a rule: engine and category."""
    return rule.matcher.engine, rule.category


def current_calibrator(connection: Connection) -> Calibrator | None:
    """Return the calibrator of estimates, if recalibration was shown to improve them."""
    return evaluate_calibration(connection).calibrator


def evaluate_calibration(connection: Connection) -> Calibration:
    """Evaluate the estimates that suggested changes were made with against their outcomes."""
    predictions = outcomes.predictions(connection)
    return calibration.evaluate([(row.confidence_mean, row.good) for row in predictions])


def refresh(connection: Connection, *, run_id: str | None = None) -> list[LevelChange]:
    """Record the confidence of every rule where it changed; notify promotions, demotions and drift.

    Returns the changes of trust level and new drifts.
    """
    latest = (
        select(rule_confidence)
        .distinct(rule_confidence.c.digest)
        .order_by(rule_confidence.c.digest, rule_confidence.c.id.desc())
    )
    before = {bytes(row.digest): row for row in connection.execute(latest)}
    changes, rows = [], []
    for digest, rule_trust in of_rules(connection, rule_set.current(connection)).items():
        old = before.get(digest)
        drifts = rule_trust.drifted and not (old is not None and old.drifted)
        if old is not None and not drifts and old.level == rule_trust.level and _same(old, rule_trust):
            continue
        rows.append(_row(digest, rule_trust))
        if old is None or drifts or old.level != rule_trust.level:
            rule, level = rule_trust.rule, None if old is None else old.level
            changes.append(LevelChange(rule.id, rule.version, level, rule_trust.level, drifts))
    if rows:
        connection.execute(insert(rule_confidence), rows)
    messages = [_message(change, run_id) for change in changes if change.before is not None or change.drifts]
    if messages:
        send_with_notify(connection, Queue.RULE_NOTIFICATIONS, messages)
    return changes


def adapt(connection: Connection) -> list[thresholds.Change]:
    """Adapt the thresholds for requesting approval, acting and publishing to the decisions so far."""
    rows = outcomes.predictions(connection)
    calibrator = current_calibrator(connection)
    estimates = [_recalibrated(row.confidence_mean, row.confidence_lower, calibrator) for row in rows]
    decisions = {
        name: [
            thresholds.Decision(estimate[side], row.good, row.at)
            for estimate, row in zip(estimates, rows, strict=True)
        ]
        for side, name in enumerate(("ask", "act"))
    }
    decisions["publish"] = outcomes.after_publication(connection)
    changes = [thresholds.adapt(connection, name, of_name) for name, of_name in decisions.items()]
    return [change for change in changes if change is not None]


def timeline(connection: Connection, rule: str) -> list[dict[str, Any]]:
    """Return the recorded confidence of a rule's versions, oldest first."""
    table = rule_confidence.c
    columns = (
        table.at,
        table.version,
        table.level,
        table.mean,
        table.lower,
        table.wilson,
        table.good,
        table.bad,
        table.decisions,
        table.drifted,
    )
    query = select(*columns).where(table.rule_id == rule).order_by(table.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def above_evidence(connection: Connection) -> list[dict[str, Any]]:
    """Return changes that a policy approved although their rule's evidence was insufficient; there must be none."""
    query = text("""
        SELECT s.rule_id AS rule, s.id AS suggestion, s.confidence_mean, s.confidence_lower, d.at
        FROM approval_decisions d JOIN suggestions s ON s.approval_id = d.approval_id
        JOIN candidates c ON c.id = s.candidate_id
        WHERE d.actor LIKE 'policy:%' AND (
            s.confidence_lower < :min_lower
            OR (SELECT count(*) FROM rule_outcomes o WHERE o.digest = c.rule_digest AND o.at < d.at
                AND o.weight > 0 AND o.kind IN ('approved', 'denied', 'closed', 'reverted')) < :min_decisions)
        ORDER BY d.at DESC LIMIT 100
    """)
    parameters = {"min_lower": thresholds.bounds("act")[0], "min_decisions": confidence.MIN_DECISIONS}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def _recalibrated(mean: float, lower: float, calibrator: Calibrator | None) -> tuple[float, float]:
    """Recalibrate mean and lower bound; the bound may decrease, never increase."""
    return (mean, lower) if calibrator is None else (calibrator(mean), min(calibrator(lower), lower))


def _level(
    rule: Rule, mean: float, lower: float, limits: Mapping[str, float], decisions: int
) -> tuple[Level, str]:
    level = confidence.level(mean, lower, limits, decisions=decisions, may_act=rule.status == "active")
    if level == "show":
        return level, f"expected acceptance {mean:.2f} is below {limits['ask']:.2f}"
    if level == "act":
        return level, ""
    if rule.status != "active":
        return level, f"it is on {rule.status}"
    if decisions < confidence.MIN_DECISIONS:
        return level, f"{decisions} decisions, {confidence.MIN_DECISIONS} are needed"
    return level, f"lower bound {lower:.2f} is below {limits['act']:.2f}"


def _external_counts(connection: Connection) -> dict[bytes, tuple[float, float]]:
    """Return (good, bad) counts that variants inherit from parents and imported rules from instances, by digest."""
    table = rule_lifecycles.c
    good, bad = (table.evidence[name].as_float() for name in ("kept", "remaining"))
    query = select(table.digest, good, bad).where(table.origin == "variant", table.evidence.has_key("kept"))
    inherited = {
        bytes(digest): (INHERITED_WEIGHT * good, INHERITED_WEIGHT * bad)
        for digest, good, bad in connection.execute(query)
    }
    imported = {digest: counts for (_, digest), counts in imported_priors(connection).items()}
    return {**inherited, **imported}


def _row(digest: bytes, rule_trust: RuleTrust) -> dict[str, Any]:
    return {
        "rule_id": rule_trust.rule.id,
        "version": rule_trust.rule.version,
        "digest": digest,
        "level": rule_trust.level,
        "mean": rule_trust.mean,
        "lower": rule_trust.lower,
        "wilson": rule_trust.wilson,
        "good": rule_trust.good,
        "bad": rule_trust.bad,
        "decisions": rule_trust.decisions,
        "drifted": rule_trust.drifted,
    }


def _same(old: Any, rule_trust: RuleTrust) -> bool:
    return old.decisions == rule_trust.decisions and all(
        abs(getattr(old, name) - getattr(rule_trust, name)) < MIN_CHANGE for name in ("mean", "lower")
    )


def _message(change: LevelChange, run_id: str | None) -> dict[str, Any]:
    up = change.before is not None and LEVELS.index(change.after) > LEVELS.index(change.before)  # type: ignore[arg-type]
    event = "drift" if change.drifts else "promotion" if up else "demotion"
    return {
        "event": event,
        "rule": change.rule_id,
        "version": change.version,
        "from": change.before,
        "to": change.after,
        "run_id": run_id,
    }
