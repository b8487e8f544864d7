"""The rule evolver: variants of rules, their trials, and what follows from them.

Belongs here: when a variant is sought and tried, and the verdict on a trial. Does not belong here:
how variants are found (`variants`), new rules from history (`rule_miner`), asking people about a
change (the agents), beliefs (`standings`).

A variant enters its trial when it holds its examples, agrees with what was accepted and denied so
far, and keeps what people mended unasked in the history. On trial it may ask people, never act.
Promotion is proposed, not done: a person or a policy decides; that a trial ends without success needs
nobody.
"""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import confidence, place_records, rule_set, standings, thresholds
from qflow_dagster.evolution.mining.mended import mended
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing import votes
from qflow_dagster.evolution.standings import Standing
from qflow_dagster.evolution.variants import Place, Variant, matched, narrower, wider
from qflow_dagster.ingestion import repositories
from qflow_dagster.processes import Lost, in_processes
from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

logger = logs.logger(__name__)
ACTOR = "rule evolution"
TYPE = register(WorkflowTypeName.RULE_EVOLUTION, machine=RECORDED).name
# Judged places of each kind without which no difference is sought.
LEAST = 3
# Of what people mended unasked in the histories of so many repositories a variant keeps at least this part.
LEAST_KEPT, HISTORIES = 0.9, 5
# Decisions on a trial's own changes without which there is no verdict, and how sure it has to be.
DECISIONS = 5
SURE = 0.95
# A wider version is no better a rule, it finds more: it may be so much worse.
MARGIN = 0.05


class Made(NamedTuple):
    """A variant that entered its trial."""

    life: UUID
    rule_id: str
    version: int
    operation: str
    words: str


class Verdict(NamedTuple):
    """What a trial came to: the state its life should move to, and why."""

    life: UUID
    rule_id: str
    version: int
    to: str
    reason: str
    evidence: dict[str, Any]


def vary(engine: Engine, *, run_id: str | None = None) -> list[Made]:
    """Seek variants of the rules that people's decisions give reason to, and begin their trials."""
    with engine.connect() as connection:
        rules = rule_set.current(connection)
        known = standings.of(connection, rules)
        # Of a rule that others brought, and nobody agreed on yet, there are no variants either.
        withheld = votes.withheld(connection)
        tasks = []
        for rule in rules:
            # One question at a time: what is on trial gets its verdict first.
            on_trial = any(other.id == rule.id and other.status == "trial" for other in rules)
            if rule.status != "active" or on_trial or rule.digest in withheld:
                continue
            judged = place_records.of(connection, rule)
            operations = wanted_operations(judged, known[rule.digest])
            tasks += [(rule, judged, operation, settings().evolution.trials) for operation in operations]
    found = in_processes(
        vary_batch, None, [[task] for task in tasks], settings().ingestion.processes, lost=_lost
    )
    made: list[Made] = []
    unasked: dict[str, list[Place]] = {}
    for variant in (variant for batch in found for variant in batch):
        id_ = variant.rule.id
        if id_ not in unasked:
            unasked[id_] = fixed_by_people(engine, next(task[0] for task in tasks if task[0].id == id_))
        kept = _kept(variant.rule, unasked[id_])
        if kept < LEAST_KEPT * len(unasked[id_]):
            logger.info("%s, %s: misses too much of what people mend unasked", id_, variant.words)
            continue
        history = {"mended_in_history": len(unasked[id_]), "of_these_kept": kept}
        with engine.begin() as connection:
            one = _begin(connection, variant, history, run_id)
        if one is not None:
            made.append(one)
    return made


def fixed_by_people(engine: Engine, rule: Rule) -> list[Place]:
    """Where people mended what the rule finds, in the history of the repositories it was judged in; newest first."""
    query = text("""
        SELECT r.name, s.commit_oid FROM repositories r JOIN snapshots s ON s.id = r.current_snapshot_id
        WHERE r.id IN (SELECT repository_id FROM rule_outcomes WHERE digest = :digest) ORDER BY r.name LIMIT :most
    """)
    with engine.connect() as connection:
        rows = connection.execute(query, {"digest": rule.digest, "most": HISTORIES}).all()
        objects = {row.name: repositories.find(connection, row.name).objects for row in rows}
    found: list[Place] = []
    for row in rows:
        try:
            found += mended(objects[row.name], rule, tip=row.commit_oid)
        except QflowError as error:
            logger.warning("the history of %s could not be read: %s", row.name, error)
    return found


def count_batch(context: None, batch: list[tuple[Rule, list[Place]]]) -> int:
    """In a worker process, for the code of the places is hostile: how many of the places a rule finds."""
    return sum(sum(matched(rule, judged)) for rule, judged in batch)


def wanted_operations(judged: Sequence[Place], standing: Standing) -> list[str]:
    """What is sought for a rule: narrower where people deny some and accept some, wider where it is trusted."""
    wanted = sum(place.wanted for place in judged)
    unwanted = len(judged) - wanted
    if wanted >= LEAST and unwanted >= LEAST:
        return ["narrower"]
    trusted = standing.decisions >= confidence.ENOUGH and standing.level != "show" and not unwanted
    return ["wider"] if trusted else []


def vary_batch(context: None, batch: list[tuple[Rule, list[Place], str, int]]) -> list[Variant]:
    """In a worker process, for the code of the places is hostile: the variants of a rule."""
    found = []
    for rule, judged, operation, room in batch:
        seek = narrower if operation == "narrower" else wider
        found += seek(rule, judged, most=room)
    return found


def judge(connection: Connection) -> list[Verdict]:
    """The verdicts that are due on trials."""
    rules = rule_set.current(connection)
    known = standings.of(connection, rules)
    limits = thresholds.current(connection)
    active = {rule.id: known[rule.digest] for rule in rules if rule.status == "active"}
    ages = {
        row.id: row.days
        for row in connection.execute(
            text("""
                SELECT l.id, extract(epoch FROM clock_timestamp() - w.updated_at)::float8 / 86400 AS days
                FROM rule_lives l JOIN workflows w ON w.id = l.id WHERE w.status = 'trial'
            """)
        )
    }
    found = []
    for life in rule_set.lives(connection, states=["trial"]):
        own = known.get(bytes(life.digest))
        if own is None or life.approval_id is not None:
            continue
        said = verdict(
            own, active.get(life.rule_id), limits["ask"], wider="wider" in life.evidence.get("operation", "")
        )
        if said is None and ages.get(life.id, 0.0) > settings().evolution.trial:
            said = ("retired", f"{settings().evolution.trial} days on trial without a verdict", {})
        if said is not None:
            to, reason, evidence = said
            found.append(Verdict(life.id, life.rule_id, life.version, to, reason, evidence))
    return found


def verdict(
    own: Standing, base: Standing | None, ask: float, *, wider: bool = False
) -> tuple[str, str, dict[str, Any]] | None:
    """What the evidence says of a trial: (state, reason, evidence), or None while it says too little.

    A variant is held against the version it would replace; a new rule against the threshold of asking.
    """
    if own.decisions < DECISIONS:
        return None
    facts = {"decisions": own.decisions, "mean": round(own.mean, 3), "lower": round(own.lower, 3)}
    if base is None:
        # As if the threshold were a rule that everything is known of.
        base_belief, name = confidence.Belief(1_000 * ask, 1_000 * (1 - ask)), f"the threshold {ask:.2f}"
    else:
        base_belief, name = base.belief, f"version {base.rule.version} ({base.mean:.2f})"
    for_it = confidence.better(own.belief, base_belief, MARGIN if wider else 0.0)
    against = confidence.better(base_belief, own.belief)
    facts |= {"better": round(for_it, 3)}
    words = f"after {own.decisions} decisions ({own.mean:.2f} expected)"
    if for_it >= SURE:
        how = "no worse than" if wider else "better than"
        return "active", f"{how} {name} with a probability of {for_it:.2f}, {words}", facts
    if against >= SURE:
        return "retired", f"worse than {name} with a probability of {against:.2f}, {words}", facts
    return None


def served(versions: Sequence[Rule], known: Mapping[bytes, Standing], chance: random.Random) -> Rule:
    """Which version of a rule serves a work item: by a draw from each one's belief."""
    return versions[confidence.drawn([known[rule.digest].belief for rule in versions], chance)]


def retire(
    connection: Connection, verdicts: Sequence[Verdict], *, run_id: str | None = None
) -> list[Verdict]:
    """Carry out those verdicts that need nobody: retirements; returns them."""
    done = [one for one in verdicts if one.to == "retired"]
    for one in done:
        rule_set.change(connection, one.life, "retired", actor=ACTOR, reason=one.reason, run_id=run_id)
    return done


def _begin(
    connection: Connection, variant: Variant, history: Mapping[str, int], run_id: str | None
) -> Made | None:
    rule = variant.rule
    rule_set.one_at_a_time(connection)
    if fingerprint(rule) in matchers_tried(connection):
        return None
    version = rule_set.next_version(connection, rule.id)
    parent = next(one for one in rule_set.current(connection) if one.id == rule.id and one.status == "active")
    rule = rule.model_copy(update={"version": version, "status": "trial"})
    evidence = {
        "operation": variant.operation,
        "kept": variant.kept,
        "lost": variant.lost,
        "excluded": variant.excluded,
        "remaining": variant.remaining,
        **history,
    }
    life = rule_set.begin(
        connection, rule, "variant", variant.words, actor=ACTOR, evidence=evidence, parent=parent.digest
    )
    if life is None:
        return None
    reason = (
        f"{variant.operation}: {variant.words}; of what was accepted it finds {variant.kept} and misses "
        f"{variant.lost}, of what was denied it leaves out {variant.excluded} and finds {variant.remaining}"
    )
    rule_set.change(connection, life, "trial", actor=ACTOR, reason=reason, run_id=run_id)
    return Made(life, rule.id, version, variant.operation, variant.words)


def _kept(rule: Rule, judged: list[Place]) -> int:
    """How many of the places the rule finds; of places that end their worker, none."""
    batches = [[(rule, judged)]] if judged else []
    return sum(in_processes(count_batch, None, batches, 1, lost=lambda task, code: Lost(result=0)))


def fingerprint(rule: Rule) -> tuple[str, str]:
    """What makes two versions of a rule the same to try: how they find, and what they make of it."""
    # Sorted: what the database gives back has its keys in another order.
    matcher = json.dumps(rule.matcher.model_dump(mode="json"), sort_keys=True)
    return ",".join(rule.language), f"{matcher} {rule.fix}"


def matchers_tried(connection: Connection) -> set[tuple[str, str]]:
    """The fingerprints of all versions there ever were, retired ones too: none is tried twice."""
    query = text("SELECT definition FROM rule_lives")
    lives = [rule_set.RULE.validate_python(row.definition) for row in connection.execute(query)]
    return {fingerprint(rule) for rule in [*lives, *load_rules()]}


def _lost(task: Any, code: int | None) -> Lost:
    logger.warning("the search for variants of %s ended its worker (code %s)", task[0].id, code)
    return Lost(result=[])
