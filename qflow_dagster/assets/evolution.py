"""Assets of the group `evolution`: outcomes of rules, their confidence, variants on trial, the rules in force."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import rule_evolution
from qflow_dagster.assets import agents, generation, rules
from qflow_dagster.assets.metadata import (
    MAX_ROWS,
    NIGHTLY,
    approval_link,
    links,
    picture,
    table,
    table_metadata,
)
from qflow_dagster.evolution import (
    outcomes,
    rule_set,
    tables,
    thresholds,
    trust,
)
from qflow_dagster.pictures import confidence
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker

GROUP = "evolution"
# Two runs would read the same decisions, and move a threshold twice.
POOL = "evolution"
RULE_OUTCOMES = dg.AssetKey([GROUP, "rule_outcomes"])
RULE_CONFIDENCE = dg.AssetKey([GROUP, "rule_confidence"])
RULE_CANDIDATES = dg.AssetKey([GROUP, "rule_candidates"])
RULE_SET = dg.AssetKey([GROUP, "rule_set"])


@dg.asset(
    key=RULE_OUTCOMES,
    freshness_policy=NIGHTLY,
    group_name=GROUP,
    pool=POOL,
    deps=[rules.FINDINGS, generation.SUGGESTIONS, agents.EDIT_OUTCOMES],
    kinds={"postgres", "git"},
    code_version="1",
    description="Outcomes of the findings and fixes of each rule version, each counted once, with the code concerned.",
    metadata=table_metadata(tables.rule_outcomes),
)
def rule_outcomes(database: Database) -> dg.MaterializeResult:
    """Record new outcomes with their code."""
    engine = database.engine()
    new, stored_matches = rule_evolution.collect_outcomes(engine)
    with engine.connect() as connection:
        counted = outcomes.counts(connection)
    kinds = [(kind, sum(row[kind] for row in counted)) for kind in outcomes.KINDS if kind != "shown"]
    return dg.MaterializeResult(
        metadata={
            "by_kind": picture(histogram(kinds, "Outcomes by kind")),
            "dagster/row_count": sum(number for _, number in kinds),
            "new": new,
            "places_kept": stored_matches,
            "by_rule": table([{k: v for k, v in row.items() if k != "digest"} for row in counted], MAX_ROWS),
        }
    )


@dg.asset(
    key=RULE_CONFIDENCE,
    freshness_policy=NIGHTLY,
    group_name=GROUP,
    pool=POOL,
    deps=[RULE_OUTCOMES],
    kinds={"postgres"},
    code_version="1",
    description="Estimated confidence of each rule version, its trust level, and the calibration of the estimates.",
    metadata=table_metadata(tables.rule_confidence),
)
def rule_confidence(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Update the thresholds first, because the trust levels of rules depend on them."""
    engine = database.engine()
    threshold_changes, moved = rule_evolution.update_confidence(engine, run_id=context.run.run_id)
    with engine.connect() as connection:
        trust_levels = trust.of_rules(connection, rule_set.current(connection))
        calibrated = trust.evaluate_calibration(connection)
        limits = thresholds.current(connection)
    for change in threshold_changes:
        context.log.info("threshold moved to %.2f: %s", change.value, change.reason)
    ranked = sorted(trust_levels.values(), key=lambda rule_trust: (-rule_trust.decisions, rule_trust.rule.id))
    rows = [
        {
            "rule": rule_trust.rule.id,
            "version": rule_trust.rule.version,
            "level": rule_trust.level,
            "mean": rule_trust.mean,
            "lower": rule_trust.lower,
            "wilson": rule_trust.wilson,
            "decisions": rule_trust.decisions,
            "drifted": rule_trust.drifted,
            "because": rule_trust.because,
        }
        for rule_trust in ranked
    ]
    levels = [
        (level, sum(rule_trust.level == level for rule_trust in ranked)) for level in ("show", "ask", "act")
    ]
    metadata: dict[str, dg.MetadataValue | int | float | str] = {
        "by_level": picture(histogram(levels, "Rules by trust level")),
        "dagster/row_count": len(ranked),
        "moved": len(moved),
        "drifting": sum(rule_trust.drifted for rule_trust in ranked),
        "thresholds": ", ".join(f"{name} {value:.2f}" for name, value in sorted(limits.items())),
        "thresholds_moved": "; ".join(change.reason for change in threshold_changes) or "none",
        "rules": table(rows, MAX_ROWS),
        "predictions": calibrated.count,
    }
    if calibrated.brier is not None:
        drawn = confidence.reliability(calibrated.bins, f"Reliability, Brier score {calibrated.brier:.3f}")
        metadata = {"reliability": picture(drawn), **metadata, "brier": round(calibrated.brier, 4)}
    if calibrated.recalibrated is not None:
        metadata["brier_recalibrated"] = round(calibrated.recalibrated, 4)
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    key=RULE_CANDIDATES,
    freshness_policy=NIGHTLY,
    group_name=GROUP,
    pool=POOL,
    deps=[RULE_CONFIDENCE],
    kinds={"python", "postgres"},
    code_version="1",
    description="Variants of rules that separate accepted from denied changes; they go on trial.",
    metadata=table_metadata(tables.rule_lifecycles),
)
def rule_candidates(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Search for variants of rules, and start their trials."""
    engine = database.engine()
    started = rule_evolution.start_trials(engine, worker=worker(context), run_id=context.run.run_id)
    with engine.connect() as connection:
        lifecycles = rule_set.lifecycles(connection, states=["draft", "trial"])
    rows = [
        {
            "rule": lifecycle.rule_id,
            "version": lifecycle.version,
            "state": lifecycle.status,
            "origin": lifecycle.origin,
            "description": lifecycle.description,
            "waits_for_approval": lifecycle.approval_id is not None,
        }
        for lifecycle in lifecycles
    ]
    approvals = [
        approval_link(lifecycle.approval_id, f"{lifecycle.rule_id} version {lifecycle.version}")
        for lifecycle in lifecycles[:MAX_ROWS]
        if lifecycle.approval_id is not None
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "new": table(
                [{**trial._asdict(), "lifecycle_id": str(trial.lifecycle_id)} for trial in started], MAX_ROWS
            ),
            "candidates": table(rows, MAX_ROWS),
            "approvals": links(approvals),
        }
    )


@dg.asset(
    key=RULE_SET,
    freshness_policy=NIGHTLY,
    group_name=GROUP,
    pool=POOL,
    deps=[RULE_CANDIDATES],
    kinds={"postgres"},
    code_version="1",
    description="The rules in force: verdicts on trials, applied automatically or submitted for approval.",
    metadata=table_metadata(tables.rule_lifecycles),
)
def rule_set_asset(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Apply decisions, evaluate the trials, and request approval to activate rules."""
    run_id = context.run.run_id
    engine = database.engine()
    result = rule_evolution.judge_trials(engine, worker=worker(context), run_id=run_id)
    with engine.connect() as connection:
        rules = rule_set.current(connection)
        lifecycles = rule_set.lifecycles(connection)
        limits = thresholds.current(connection)
        busiest = outcomes.counts(connection)[:1]
        drawn = [_picture(connection, row["rule"], limits) for row in busiest]
    states: dict[str, int] = {}
    for rule in rules:
        states[rule.status] = states.get(rule.status, 0) + 1
    changes = [
        {
            "rule": lifecycle.rule_id,
            "version": lifecycle.version,
            "state": lifecycle.status,
            "origin": lifecycle.origin,
            "description": lifecycle.description,
            "since": lifecycle.updated_at,
        }
        for lifecycle in lifecycles
    ]
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "by_state": picture(histogram(sorted(states.items()), "Rules by state")),
        "dagster/row_count": len(rules),
        "retired": sum(verdict.to == "retired" for verdict in result.verdicts),
        "asked_for": len(result.requested),
        "became_active": sum(change.problem is None and change.to == "active" for change in result.changed),
        "verdicts": table(
            [{**verdict._asdict(), "lifecycle_id": str(verdict.lifecycle_id)} for verdict in result.verdicts],
            MAX_ROWS,
        ),
        "changed_here": table(changes, MAX_ROWS),
    }
    if drawn:
        metadata = {"busiest_rule": picture(drawn[0]), **metadata}
    return dg.MaterializeResult(metadata=metadata)


def _picture(connection: Connection, rule: str, limits: dict[str, float]) -> str:
    return confidence.of_rule(
        rule, trust.timeline(connection, rule), outcomes.history(connection, rule), limits
    )


assets = [rule_outcomes, rule_confidence, rule_candidates, rule_set_asset]
