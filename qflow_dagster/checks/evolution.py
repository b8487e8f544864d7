"""Checks on rule evolution: trust follows the evidence, decisions are counted, thresholds are within bounds."""

import dagster as dg

from qflow_dagster.assets import evolution as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.evolution import examples, outcomes, rule_set, thresholds, trust
from qflow_dagster.resources.database import Database
from qflow_dagster.safety.display import visible_line


@dg.asset_check(
    asset=assets.RULE_OUTCOMES, description="Every decision of a person is recorded as an outcome."
)
def every_decision_is_counted(database: Database) -> dg.AssetCheckResult:
    """Fail for decisions that are not recorded as outcomes of a rule."""
    with database.engine().connect() as connection:
        missing = outcomes.count_pending(connection)
    return dg.AssetCheckResult(
        passed=not missing,
        description=verdict(missing, "decision", "missing among the outcomes of rules"),
        metadata={"uncounted": missing},
    )


@dg.asset_check(
    asset=assets.RULE_CONFIDENCE,
    description="No policy approved a change of a rule whose evidence does not allow it.",
)
def no_rule_acts_above_its_evidence(database: Database) -> dg.AssetCheckResult:
    """Fail for changes that a policy approved with too low a bound or too few earlier decisions."""
    with database.engine().connect() as connection:
        above_evidence = trust.above_evidence(connection)
    rules = sorted({row["rule"] for row in above_evidence})
    return dg.AssetCheckResult(
        passed=not above_evidence,
        description=verdict(
            len(above_evidence),
            "change",
            "approved by a policy although the evidence for the rule is insufficient",
            rules,
            limit=100,
        ),
        metadata={"above_evidence": table(above_evidence, MAX_ROWS)},
    )


@dg.asset_check(asset=assets.RULE_CONFIDENCE, description="Thresholds are within their configured bounds.")
def thresholds_are_within_bounds(database: Database) -> dg.AssetCheckResult:
    """Fail for thresholds out of bounds: set by hand, or before the bounds changed."""
    with database.engine().connect() as connection:
        now = thresholds.current(connection)
    outside = {
        name: value
        for name, value in now.items()
        if not thresholds.bounds(name)[0] <= value <= thresholds.bounds(name)[1]
    }
    named = [f"{name} ({value})" for name, value in outside.items()]
    return dg.AssetCheckResult(
        passed=not outside,
        description=verdict(len(outside), "threshold", "outside the bounds", named),
        metadata={"outside": str(outside or "none")},
    )


@dg.asset_check(
    asset=assets.RULE_SET, description="Every mined or variant rule still passes its own examples."
)
def every_evolved_rule_holds_its_examples(database: Database) -> dg.AssetCheckResult:
    """Fail for rules on trial or active that do not pass their own examples."""
    with database.engine().connect() as connection:
        lifecycles = rule_set.lifecycles(connection, states=["trial", "active"])
        digests = {bytes(lifecycle.digest) for lifecycle in lifecycles}
        rules = [rule for rule in rule_set.current(connection) if rule.digest in digests]
    problems = [problem for problem in examples.first_problems_of(rules) if problem]
    return dg.AssetCheckResult(
        passed=not problems,
        description=verdict(
            len(problems),
            "mined or variant rule",
            "in conflict with the examples",
            problems,
        ),
        metadata={"problems": visible_line("; ".join(problems[:20])) or "none"},
    )


checks = [
    every_decision_is_counted,
    no_rule_acts_above_its_evidence,
    thresholds_are_within_bounds,
    every_evolved_rule_holds_its_examples,
]
