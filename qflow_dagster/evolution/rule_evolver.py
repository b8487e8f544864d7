"""The rule evolver: starts trials of rule variants, and gives verdicts on trials.

Variants are constructed in `variants`, new rules mined in `mining.rule_miner`; approvals are requested by
`agents.rule_changes`.

A variant enters its trial if it satisfies its examples, agrees with the decisions so far, and still
matches what people fixed by themselves in the history. During a trial it may request approvals, never
act. Promotion is only proposed: a person or a policy decides. Retirement after an unsuccessful trial needs
no approval.
"""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import confidence, location_records, rule_set, thresholds, trust
from qflow_dagster.evolution.mining.fixed import find_fixed
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing import votes
from qflow_dagster.evolution.tables import rule_lifecycles
from qflow_dagster.evolution.trust import RuleTrust
from qflow_dagster.evolution.variants import Location, Variant, matched, narrower, wider
from qflow_dagster.ingestion import repositories
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

logger = logs.logger(__name__)
ACTOR = "rule evolution"
TYPE = register(WorkflowTypeName.RULE_EVOLUTION, machine=RECORDED).name
# Labelled locations of each kind needed before a narrower variant is constructed.
MIN_LOCATIONS = 3
# The share of fixes in the histories of at most so many repositories that a variant must still match.
MIN_KEPT_SHARE, MAX_HISTORIES = 0.9, 5
# Decisions on a trial's own changes needed for a verdict, and the probability required.
MIN_DECISIONS = 5
MIN_PROBABILITY = 0.95
# A wider version matches more but is not expected to be better: its share may be lower by this margin.
MARGIN = 0.05


class StartedTrial(NamedTuple):
    """A variant that entered its trial."""

    lifecycle_id: UUID
    rule_id: str
    version: int
    operation: str
    description: str


class Verdict(NamedTuple):
    """The result of a trial: the status that the rule version should get, and why."""

    lifecycle_id: UUID
    rule_id: str
    version: int
    to: str
    reason: str
    evidence: dict[str, Any]


def vary(engine: Engine, *, run_id: str | None = None) -> list[StartedTrial]:
    """Construct variants of rules on which there are enough decisions, and start their trials."""
    with engine.connect() as connection:
        rules = rule_set.current(connection)
        trust_levels = trust.of_rules(connection, rules)
        # No variants of imported rules that the instances have not agreed on.
        quarantined = votes.quarantined(connection)
        tasks = []
        for rule in rules:
            # One trial per rule at a time.
            on_trial = any(other.id == rule.id and other.status == "trial" for other in rules)
            if rule.status != "active" or on_trial or rule.digest in quarantined:
                continue
            labelled = location_records.of(connection, rule)
            operations = operations_for(labelled, trust_levels[rule.digest])
            tasks += [(rule, labelled, operation, settings().evolution.trials) for operation in operations]
    results = in_processes(
        vary_batch, None, [[task] for task in tasks], settings().ingestion.processes, lost=_lost
    )
    started: list[StartedTrial] = []
    fixes: dict[str, list[Location]] = {}
    for variant in (variant for batch in results for variant in batch):
        id_ = variant.rule.id
        if id_ not in fixes:
            fixes[id_] = fixed_by_people(engine, next(task[0] for task in tasks if task[0].id == id_))
        matched_fixes = _count_matched(variant.rule, fixes[id_])
        if matched_fixes < MIN_KEPT_SHARE * len(fixes[id_]):
            logger.info("%s, %s: misses too many fixes in the history", id_, variant.description)
            continue
        history = {"fixed_in_history": len(fixes[id_]), "of_these_matched": matched_fixes}
        with engine.begin() as connection:
            trial = _begin(connection, variant, history, run_id)
        if trial is not None:
            started.append(trial)
    return started


def fixed_by_people(engine: Engine, rule: Rule) -> list[Location]:
    """Return the locations of fixes of what the rule matches, in the histories of repositories with outcomes of it.

    Newest first. Histories that cannot be read are skipped with a warning.
    """
    query = text("""
        SELECT r.name, s.commit_oid FROM repositories r JOIN snapshots s ON s.id = r.current_snapshot_id
        WHERE r.id IN (SELECT repository_id FROM rule_outcomes WHERE digest = :digest) ORDER BY r.name LIMIT :limit
    """)
    with engine.connect() as connection:
        rows = connection.execute(query, {"digest": rule.digest, "limit": MAX_HISTORIES}).all()
        objects = {row.name: repositories.find(connection, row.name).objects for row in rows}
    locations: list[Location] = []
    for row in rows:
        try:
            locations += find_fixed(objects[row.name], rule, tip=row.commit_oid)
        except QflowError as error:
            logger.warning("the history of %s could not be read: %s", row.name, error)
    return locations


def count_batch(context: None, batch: list[tuple[Rule, list[Location]]]) -> int:
    """Return how many of the locations a rule matches; runs in a worker process, for the code is untrusted."""
    return sum(sum(matched(rule, locations)) for rule, locations in batch)


def operations_for(locations: Sequence[Location], rule_trust: RuleTrust) -> list[str]:
    """Return the kinds of variants to construct: narrower for mixed decisions, wider for a trusted rule."""
    wanted = sum(location.wanted for location in locations)
    unwanted = len(locations) - wanted
    if wanted >= MIN_LOCATIONS and unwanted >= MIN_LOCATIONS:
        return ["narrower"]
    trusted = rule_trust.decisions >= confidence.MIN_DECISIONS and rule_trust.level != "show" and not unwanted
    return ["wider"] if trusted else []


def vary_batch(context: None, batch: list[tuple[Rule, list[Location], str, int]]) -> list[Variant]:
    """Return the variants of rules; runs in a worker process, for the code of the locations is untrusted."""
    variants = []
    for rule, locations, operation, max_variants in batch:
        seek = narrower if operation == "narrower" else wider
        variants += seek(rule, locations, max_variants=max_variants)
    return variants


def due_verdicts(connection: Connection) -> list[Verdict]:
    """Return the verdicts that are due on trials without a pending approval."""
    rules = rule_set.current(connection)
    trust_levels = trust.of_rules(connection, rules)
    limits = thresholds.current(connection)
    active = {rule.id: trust_levels[rule.digest] for rule in rules if rule.status == "active"}
    ages = {
        row.id: row.days
        for row in connection.execute(
            text("""
                SELECT l.id, extract(epoch FROM clock_timestamp() - w.updated_at)::float8 / 86400 AS days
                FROM rule_lifecycles l JOIN workflows w ON w.id = l.id WHERE w.status = 'trial'
            """)
        )
    }
    verdicts = []
    for lifecycle in rule_set.lifecycles(connection, states=["trial"]):
        own = trust_levels.get(bytes(lifecycle.digest))
        if own is None or lifecycle.approval_id is not None:
            continue
        result = verdict(
            own,
            active.get(lifecycle.rule_id),
            limits["ask"],
            wider="wider" in lifecycle.evidence.get("operation", ""),
        )
        if result is None and ages.get(lifecycle.id, 0.0) > settings().evolution.trial:
            result = ("retired", f"{settings().evolution.trial} days on trial without a verdict", {})
        if result is not None:
            to, reason, evidence = result
            verdicts.append(Verdict(lifecycle.id, lifecycle.rule_id, lifecycle.version, to, reason, evidence))
    return verdicts


def verdict(
    own: RuleTrust, base: RuleTrust | None, ask: float, *, wider: bool = False
) -> tuple[str, str, dict[str, Any]] | None:
    """Return the verdict on a trial: (status, reason, evidence), or None while the evidence is insufficient.

    A variant is compared with the version it would replace, a new rule with the threshold `ask`.
    """
    if own.decisions < MIN_DECISIONS:
        return None
    facts = {"decisions": own.decisions, "mean": round(own.mean, 3), "lower": round(own.lower, 3)}
    if base is None:
        # The threshold as an estimate with almost no uncertainty.
        base_estimate, name = (
            confidence.BetaEstimate(1_000 * ask, 1_000 * (1 - ask)),
            f"the threshold {ask:.2f}",
        )
    else:
        base_estimate, name = base.estimate, f"version {base.rule.version} ({base.mean:.2f})"
    probability_better = confidence.probability_better(own.estimate, base_estimate, MARGIN if wider else 0.0)
    probability_worse = confidence.probability_better(base_estimate, own.estimate)
    facts |= {"better": round(probability_better, 3)}
    suffix = f"after {own.decisions} decisions ({own.mean:.2f} expected)"
    if probability_better >= MIN_PROBABILITY:
        how = "no worse than" if wider else "better than"
        return "active", f"{how} {name} with a probability of {probability_better:.2f}, {suffix}", facts
    if probability_worse >= MIN_PROBABILITY:
        return "retired", f"worse than {name} with a probability of {probability_worse:.2f}, {suffix}", facts
    return None


def draw_version(
    versions: Sequence[Rule], trust_levels: Mapping[bytes, RuleTrust], generator: random.Random
) -> Rule:
    """Return the version of a rule that is used for a work item, by Thompson sampling of their estimates."""
    estimates = [trust_levels[rule.digest].estimate for rule in versions]
    return versions[confidence.thompson_draw(estimates, generator)]


def retire(
    connection: Connection, verdicts: Sequence[Verdict], *, run_id: str | None = None
) -> list[Verdict]:
    """Apply the verdicts that need no approval, the retirements; return them."""
    retirements = [verdict for verdict in verdicts if verdict.to == "retired"]
    for verdict in retirements:
        rule_set.change(
            connection, verdict.lifecycle_id, "retired", actor=ACTOR, reason=verdict.reason, run_id=run_id
        )
    return retirements


def _begin(
    connection: Connection, variant: Variant, history: Mapping[str, int], run_id: str | None
) -> StartedTrial | None:
    rule = variant.rule
    rule_set.one_at_a_time(connection)
    if fingerprint(rule) in tried_fingerprints(connection):
        return None
    version = rule_set.next_version(connection, rule.id)
    parent = next(
        other for other in rule_set.current(connection) if other.id == rule.id and other.status == "active"
    )
    rule = rule.model_copy(update={"version": version, "status": "trial"})
    evidence = {
        "operation": variant.operation,
        "kept": variant.kept,
        "lost": variant.lost,
        "excluded": variant.excluded,
        "remaining": variant.remaining,
        **history,
    }
    lifecycle_id = rule_set.begin_lifecycle(
        connection, rule, "variant", variant.description, actor=ACTOR, evidence=evidence, parent=parent.digest
    )
    if lifecycle_id is None:
        return None
    reason = (
        f"{variant.operation}: {variant.description}; of what was accepted it finds {variant.kept} and misses "
        f"{variant.lost}, of what was denied it leaves out {variant.excluded} and finds {variant.remaining}"
    )
    rule_set.change(connection, lifecycle_id, "trial", actor=ACTOR, reason=reason, run_id=run_id)
    return StartedTrial(lifecycle_id, rule.id, version, variant.operation, variant.description)


def _count_matched(rule: Rule, locations: list[Location]) -> int:
    """Return how many of the locations the rule matches; 0 if they end the worker process."""
    batches = [[(rule, locations)]] if locations else []
    return sum(in_processes(count_batch, None, batches, 1, lost=lambda task, code: LostResult(result=0)))


def fingerprint(rule: Rule) -> tuple[str, str]:
    """Return what identifies a rule for trials, independent of id and version: language, matcher and fix."""
    # Sorted: JSON from the database has another order of keys.
    matcher = json.dumps(rule.matcher.model_dump(mode="json"), sort_keys=True)
    return ",".join(rule.language), f"{matcher} {rule.fix}"


def tried_fingerprints(connection: Connection) -> set[tuple[str, str]]:
    """Return the fingerprints of all versions that ever existed, so that none is tried twice."""
    definitions = connection.scalars(select(rule_lifecycles.c.definition))
    rules = [rule_set.RULE.validate_python(definition) for definition in definitions]
    return {fingerprint(rule) for rule in [*rules, *load_rules()]}


def _lost(task: Any, code: int | None) -> LostResult:
    logger.warning("the search for variants of %s ended its worker (code %s)", task[0].id, code)
    return LostResult(result=[])
