"""Standings: what is believed of each rule now, and so what it may do.

Belongs here: putting together what a rule says of itself, how its family does, what other instances
saw and its own outcomes; recording how that changes, and telling of it. Does not belong here: the
arithmetic (`confidence`), where the thresholds come from (`thresholds`).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.evolution import calibration, confidence, outcomes, rule_set, thresholds
from qflow_dagster.evolution.calibration import Calibration, Calibrator
from qflow_dagster.evolution.confidence import LEVELS, Belief, Level
from qflow_dagster.evolution.outcomes import Evidence
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.sharing import votes
from qflow_dagster.evolution.sharing.imports import imported_priors
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Queue
from qflow_dagster.settings import settings

# What a variant's parent proved where the variant agrees counts for the variant, but it was chosen by it.
INHERITED = 0.5
# What is recorded once it moves so far.
NOTICEABLE = 0.005


@dataclass(frozen=True)
class Standing:
    """What is believed of one rule version; `good` and `bad` are its own weights, halved with age."""

    rule: Rule
    belief: Belief
    mean: float
    lower: float
    wilson: float
    good: float
    bad: float
    decisions: int
    drifted: bool
    level: Level
    # What keeps it from more, in words; empty where nothing does.
    because: str


class Moved(NamedTuple):
    """A rule version whose level changed (None: it had none), or that drifts since now."""

    rule_id: str
    version: int
    before: str | None
    after: str
    drifts: bool


def of(connection: Connection, rules: Sequence[Rule]) -> dict[bytes, Standing]:
    """The standing of each of these rules, by digest."""
    return weighed(
        rules,
        outcomes.evidence(connection),
        _from_elsewhere(connection),
        thresholds.current(connection),
        mender(connection),
        settings().evolution.half_life,
        votes.withheld(connection),
    )


def one(connection: Connection, rule: Rule) -> Standing:
    """The standing of one rule version, whether it holds now or not."""
    others = [other for other in rule_set.current(connection) if other.digest != rule.digest]
    return of(connection, [rule, *others])[rule.digest]


def weighed(
    rules: Sequence[Rule],
    evidence: Mapping[bytes, Evidence],
    elsewhere: Mapping[bytes, tuple[float, float]],
    limits: Mapping[str, float],
    mend: Calibrator | None,
    half_life: float,
    withheld: Set[bytes] = frozenset(),
) -> dict[bytes, Standing]:
    """`of`, from what was read: `elsewhere` are (good, bad) counts of a parent or of other instances. Pure."""
    own = {digest: confidence.counted(one.judged, half_life) for digest, one in evidence.items()}
    families: dict[tuple[str, str], list[float]] = {}
    versions: dict[str, list[float]] = {}
    for rule in rules:
        for sums in (
            families.setdefault(family_of(rule), [0.0, 0.0]),
            versions.setdefault(rule.id, [0.0, 0.0]),
        ):
            for side, weight in enumerate(own.get(rule.digest, (0.0, 0.0))):
                sums[side] += weight
    found = {}
    for rule in rules:
        known = evidence.get(rule.digest, Evidence([], []))
        good, bad = own.get(rule.digest, (0.0, 0.0))
        # Other versions of the same rule are rivals, not family.
        family, same = families[family_of(rule)], versions[rule.id]
        others = (max(family[0] - same[0], 0.0), max(family[1] - same[1], 0.0))
        before = confidence.prior(rule.confidence, others, elsewhere.get(rule.digest, (0.0, 0.0)))
        drifts = confidence.drifted(known.decisions)
        if drifts:
            # What it was is over: only the newest decisions speak for what it is.
            recent = known.decisions[-confidence.RECENT :]
            belief = before.plus(float(sum(recent)), float(len(recent) - sum(recent)))
        else:
            belief = before.plus(good, bad)
        mean, lower = _mended(belief.mean, belief.lower, mend)
        level, because = _level(rule, mean, lower, limits, len(known.decisions))
        if rule.digest in withheld:
            level, because = "show", "it came from another instance, and the instances have not agreed on it"
        found[rule.digest] = Standing(
            rule,
            belief,
            mean,
            lower,
            confidence.wilson(good, good + bad),
            good,
            bad,
            len(known.decisions),
            drifts,
            level,
            because,
        )
    return found


def family_of(rule: Rule) -> tuple[str, str]:
    """Rules that are likely of one kind: found in the same way, for the same purpose."""
    return rule.matcher.engine, rule.category


def mender(connection: Connection) -> Calibrator | None:
    """What mends beliefs, where that was seen to make them truer."""
    return calibrated(connection).calibrator


def calibrated(connection: Connection) -> Calibration:
    """How beliefs did that were held when changes were suggested."""
    return calibration.evaluate([(row.believed, row.good) for row in outcomes.predictions(connection)])


def refresh(connection: Connection, *, run_id: str | None = None) -> list[Moved]:
    """Record what is believed of every rule where it changed; tell of promotions, demotions and drift."""
    before = {
        bytes(row.digest): row
        for row in connection.execute(
            text("SELECT DISTINCT ON (digest) * FROM rule_confidence ORDER BY digest, id DESC")
        )
    }
    moved, rows = [], []
    for digest, one in of(connection, rule_set.current(connection)).items():
        old = before.get(digest)
        drifts = one.drifted and not (old is not None and old.drifted)
        if old is not None and not drifts and old.level == one.level and _same(old, one):
            continue
        rows.append(_row(digest, one))
        if old is None or drifts or old.level != one.level:
            moved.append(
                Moved(one.rule.id, one.rule.version, None if old is None else old.level, one.level, drifts)
            )
    if rows:
        connection.execute(_INSERT, rows)
    told = [_message(one, run_id) for one in moved if one.before is not None or one.drifts]
    if told:
        send_with_notify(connection, Queue.RULE_NOTIFICATIONS, told)
    return moved


def adapt(connection: Connection) -> list[thresholds.Change]:
    """Let the thresholds of asking, acting and publishing follow what was decided."""
    known = outcomes.predictions(connection)
    mend = mender(connection)
    believed = {
        "ask": [_mended(row.believed, row.believed_lower, mend)[0] for row in known],
        "act": [_mended(row.believed, row.believed_lower, mend)[1] for row in known],
    }
    decisions = {
        name: [thresholds.Decision(value, row.good, row.at) for value, row in zip(values, known, strict=True)]
        for name, values in believed.items()
    }
    decisions["publish"] = outcomes.after_publication(connection)
    changes = [thresholds.adapt(connection, name, of_name) for name, of_name in decisions.items()]
    return [change for change in changes if change is not None]


def timeline(connection: Connection, rule: str) -> list[dict[str, Any]]:
    """What was believed of a rule's versions over time, oldest first."""
    query = text("""
        SELECT at, version, level, mean, lower, wilson, good, bad, decisions, drifted FROM rule_confidence
        WHERE rule_id = :rule ORDER BY id
    """)
    return [dict(row) for row in connection.execute(query, {"rule": rule}).mappings()]


def above_evidence(connection: Connection) -> list[dict[str, Any]]:
    """Changes that a policy approved although their rule's evidence did not allow it; there must be none."""
    query = text("""
        SELECT s.rule_id AS rule, s.id AS suggestion, s.believed, s.believed_lower, d.at
        FROM approval_decisions d JOIN suggestions s ON s.approval_id = d.approval_id
        JOIN candidates c ON c.id = s.candidate_id
        WHERE d.actor LIKE 'policy:%' AND (
            s.believed_lower < :least
            OR (SELECT count(*) FROM rule_outcomes o WHERE o.digest = c.rule_digest AND o.at < d.at
                AND o.weight > 0 AND o.kind IN ('approved', 'denied', 'reverted')) < :enough)
        ORDER BY d.at DESC LIMIT 100
    """)
    least = thresholds.bounds("act")[0]
    rows = connection.execute(query, {"least": least, "enough": confidence.ENOUGH})
    return [dict(row) for row in rows.mappings()]


def _mended(mean: float, lower: float, mend: Calibrator | None) -> tuple[float, float]:
    """Mending may make a bound more careful, never bolder."""
    return (mean, lower) if mend is None else (mend(mean), min(mend(lower), lower))


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
    if decisions < confidence.ENOUGH:
        return level, f"{decisions} decisions, {confidence.ENOUGH} are needed"
    return level, f"lower bound {lower:.2f} is below {limits['act']:.2f}"


def _from_elsewhere(connection: Connection) -> dict[bytes, tuple[float, float]]:
    """What variants have of their parents' evidence, and imported rules of other instances'."""
    query = text("""
        SELECT digest, (evidence ->> 'kept')::float8 AS good, (evidence ->> 'remaining')::float8 AS bad
        FROM rule_lives WHERE origin = 'variant' AND evidence ? 'kept'
    """)
    inherited = {
        bytes(row.digest): (INHERITED * row.good, INHERITED * row.bad) for row in connection.execute(query)
    }
    imported = {digest: counts for (_, digest), counts in imported_priors(connection).items()}
    return {**inherited, **imported}


_INSERT = text("""
INSERT INTO rule_confidence (rule_id, version, digest, level, mean, lower, wilson, good, bad, decisions, drifted)
VALUES (:rule_id, :version, :digest, :level, :mean, :lower, :wilson, :good, :bad, :decisions, :drifted)
""")


def _row(digest: bytes, one: Standing) -> dict[str, Any]:
    return {
        "rule_id": one.rule.id,
        "version": one.rule.version,
        "digest": digest,
        "level": one.level,
        "mean": one.mean,
        "lower": one.lower,
        "wilson": one.wilson,
        "good": one.good,
        "bad": one.bad,
        "decisions": one.decisions,
        "drifted": one.drifted,
    }


def _same(old: Any, one: Standing) -> bool:
    return old.decisions == one.decisions and all(
        abs(getattr(old, name) - getattr(one, name)) < NOTICEABLE for name in ("mean", "lower")
    )


def _message(one: Moved, run_id: str | None) -> dict[str, Any]:
    up = one.before is not None and LEVELS.index(one.after) > LEVELS.index(one.before)  # type: ignore[arg-type]
    event = "drift" if one.drifts else "promotion" if up else "demotion"
    return {
        "event": event,
        "rule": one.rule_id,
        "version": one.version,
        "from": one.before,
        "to": one.after,
        "run_id": run_id,
    }
