"""The agents that ship: planner, validator, knowledge answerer, and each generator.

They are registered like any other, are given assignments by the router, and work inside our own
runs. The improvement loop asks the router which generators may be asked, and what they did there
counts as their outcomes too. Does not belong here: external programs (`agent_program`).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import assignments, coordination
from qflow_dagster.agents.coordination import Capability, Wanted
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import safe_work_planner
from qflow_dagster.generation import single
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.proposing import Choose
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index
from qflow_dagster.quantumflow import LeaseLostError, Workflow
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact

logger = logs.logger(__name__)
PLANNER, VALIDATOR, ANSWERER = "planner", "validator", "knowledge-answerer"
DOMAIN_OF = {
    "correctness": "code_quality",
    "security": "security",
    "maintainability": "refactoring",
    "performance": "performance",
    "modernisation": "refactoring",
}
# Nothing of ours gets tired; this bounds what one look hands out.
MOST = 20
_GENERATOR_DOMAINS = tuple(sorted(set(DOMAIN_OF.values())))


class Done(NamedTuple):
    """What a drain did."""

    given: int
    succeeded: int
    failed: int


def capabilities() -> list[Capability]:
    """What ships, as the registry knows it."""
    found = [
        Capability(
            name=PLANNER,
            role="architect",
            domains=("planning",),
            input_types=("repository",),
            output_types=("plan",),
            complexity="complex",
            cost=1,
            most=MOST,
        ),
        Capability(
            name=VALIDATOR,
            role="quality_enforcer",
            domains=("validation", "testing"),
            input_types=("patch",),
            output_types=("verdict",),
            complexity="complex",
            cost=1,
            most=MOST,
        ),
        Capability(
            name=ANSWERER,
            role="technology",
            domains=("knowledge",),
            input_types=("question",),
            output_types=("answer",),
            complexity="complex",
            cost=1,
            most=MOST,
        ),
    ]
    found += [
        Capability(
            name=name,
            role="refactoring",
            domains=_GENERATOR_DOMAINS,
            input_types=("work_item",),
            output_types=("patch",),
            complexity="complex",
            cost=max(1.0, generator.cost),
            most=MOST,
        )
        for name, generator in generators().items()
    ]
    return found


def register_all(connection: Connection) -> None:
    """Make all of ours known."""
    for capability in capabilities():
        coordination.register(connection, capability)


def chooser(connection: Connection) -> Choose:
    """Which generators the router would ask for findings of a rule: the best that fit and are there."""
    register_all(connection)
    known = coordination.agents(connection)
    chosen: dict[str, frozenset[str]] = {}
    for domain in _GENERATOR_DOMAINS:
        fitting = coordination.candidates(known, Wanted(domain, "work_item", "patch", "simple"))
        chosen[domain] = frozenset(agent.name for _, agent in fitting)

    def choose(rule: Rule) -> frozenset[str]:
        return chosen[DOMAIN_OF.get(rule.category, "code_quality")]

    return choose


# That one had nothing to propose, or was not asked for want of a budget, says nothing of it.
_OUTCOMES = text("""
INSERT INTO outcomes (agent, domain, success, latency, cost, feedback, attempt_id, at)
SELECT a.generator, coalesce(CAST(:domains AS jsonb) ->> r.category, 'code_quality'),
       a.outcome = 'proposed' AND EXISTS (
           SELECT FROM candidates c WHERE c.work_item_id = a.work_item_id AND a.generator = ANY(c.sources)
           AND c.status <> 'failed'),
       a.seconds, a.cost, coalesce(a.problem, failed.gates), a.id, a.at
FROM generation_attempts a
LEFT JOIN LATERAL (SELECT category FROM rule_versions v WHERE v.rule_id = a.rule_id LIMIT 1) AS r ON true
LEFT JOIN LATERAL (
    SELECT string_agg(DISTINCT g.gate || ' failed', ', ') AS gates FROM candidates c
    JOIN gate_results g ON g.base_commit = c.base_commit AND g.digest = c.digest AND g.verdict = 'failed'
    WHERE c.work_item_id = a.work_item_id AND a.generator = ANY(c.sources)) AS failed ON true
WHERE a.outcome IN ('proposed', 'failed') AND a.at > clock_timestamp() - interval '7 days'
  AND NOT EXISTS (SELECT FROM outcomes o WHERE o.attempt_id = a.id)
ON CONFLICT (attempt_id) DO NOTHING
""")


def record_outcomes(connection: Connection) -> int:
    """Count what generators did in the improvement loop as their outcomes; returns how many were new."""
    return connection.execute(_OUTCOMES, {"domains": json.dumps(DOMAIN_OF)}).rowcount


def work(engine: Engine, *, worker: str, run_id: str | None = None, rounds: int = 50) -> Done:
    """Route what waits, and do what ours were given, until nothing is left for them."""
    with engine.begin() as connection:
        register_all(connection)
    names = [capability.name for capability in capabilities()]
    given = succeeded = failed = 0
    for _ in range(rounds):
        with engine.begin() as connection:
            given += assignments.route(connection)
            taken = [
                (name, one)
                for name in names
                for one in assignments.take(connection, name, limit=MOST, run_id=run_id)
            ]
        if not taken:
            break
        with kept_alive(engine, [workflow for _, workflow in taken]):
            for name, workflow in taken:
                good = _do(engine, name, workflow)
                succeeded, failed = succeeded + good, failed + (not good)
    return Done(given, succeeded, failed)


def _do(engine: Engine, agent: str, workflow: Workflow) -> bool:
    given = workflow.payload["task"]
    try:
        # As a task of a graph asks: what it is about lies one level deeper.
        inner = given.get("task") if isinstance(given, dict) and "graph" in given else given
        if not isinstance(inner, dict):
            raise QflowError(f"{agent} takes a JSON object")
        result = _DOES.get(agent, _generate(agent))(engine, inner)
        assignments.succeed(engine, workflow, agent, result)
        return True
    except LeaseLostError:
        logger.warning("the assignment %s is somebody else's by now", workflow.id)
    except Exception as error:
        # One assignment that cannot be done must not keep the others from it.
        if not isinstance(error, QflowError):
            logger.exception("%s could not do %s", agent, workflow.id)
        try:
            assignments.report_failure(engine, workflow, agent, redact(str(error))[:2_000])
        except LeaseLostError:
            logger.warning("the assignment %s is somebody else's by now", workflow.id)
    return False


def _needed(given: Mapping[str, Any], name: str) -> str:
    if not isinstance(given.get(name), str):
        raise QflowError(f"the task needs {name!r}")
    return given[name]


def _plan(engine: Engine, given: dict[str, Any]) -> Any:
    with engine.begin() as connection:
        planned = safe_work_planner.plan(
            connection, current_snapshot(connection, _needed(given, "repository"))
        )
    return planned._asdict()


def _validate(engine: Engine, given: dict[str, Any]) -> Any:
    return single.judge_patch(engine, _needed(given, "repository"), _needed(given, "patch"))


def _answer(engine: Engine, given: dict[str, Any]) -> Any:
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, _needed(given, "repository"))
    index.update(engine, snapshot)
    with engine.connect() as connection:
        return answers.answer(connection, snapshot, _needed(given, "question")).as_json()


def _generate(generator: str) -> Callable[[Engine, dict[str, Any]], Any]:
    def generate(engine: Engine, given: dict[str, Any]) -> Any:
        try:
            item = UUID(_needed(given, "work_item"))
        except ValueError:
            raise QflowError(f"{given['work_item']!r} is no id of a work item") from None
        return single.propose(engine, item, generator)

    return generate


_DOES: dict[str, Callable[[Engine, dict[str, Any]], Any]] = {
    PLANNER: _plan,
    VALIDATOR: _validate,
    ANSWERER: _answer,
}
