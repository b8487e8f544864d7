"""The agents that ship: planner, validator, knowledge answerer, and one per generator.

They are registered like any other agent, get assignments from the router, and work inside our own
runs. The improvement loop asks the router which generators to call, and their results there count
as their outcomes too. Does not belong here: external programs (`agent_program`).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import agent_generators, assignments, coordination
from qflow_dagster.agents.coordination import Capability, Requirement
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import safe_work_planner
from qflow_dagster.generation import single
from qflow_dagster.generation.generators import installed
from qflow_dagster.generation.proposing import Choose
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index
from qflow_dagster.quantumflow import Workflow
from qflow_dagster.quantumflow.draining import attempt, batches
from qflow_dagster.quantumflow.recording import kept_alive

PLANNER, VALIDATOR, ANSWERER = "planner", "validator", "knowledge-answerer"
DOMAIN_OF = {
    "correctness": "code_quality",
    "security": "security",
    "maintainability": "refactoring",
    "performance": "performance",
    "modernisation": "refactoring",
}
# How many assignments one of our agents gets at a time.
MAX_ASSIGNMENTS = 20
_GENERATOR_DOMAINS = tuple(sorted(set(DOMAIN_OF.values())))


class AssignmentCounts(NamedTuple):
    """The result of a worker: assignments routed, and those of the built-in agents that succeeded and failed."""

    routed: int
    succeeded: int
    failed: int


def capabilities() -> list[Capability]:
    """Return the capabilities of the agents that ship."""
    result = [
        Capability(
            name=PLANNER,
            role="architect",
            domains=("planning",),
            input_types=("repository",),
            output_types=("plan",),
            complexity="complex",
            cost=1,
            max_assignments=MAX_ASSIGNMENTS,
        ),
        Capability(
            name=VALIDATOR,
            role="quality_enforcer",
            domains=("validation", "testing"),
            input_types=("patch",),
            output_types=("verdict",),
            complexity="complex",
            cost=1,
            max_assignments=MAX_ASSIGNMENTS,
        ),
        Capability(
            name=ANSWERER,
            role="technology",
            domains=("knowledge",),
            input_types=("question",),
            output_types=("answer",),
            complexity="complex",
            cost=1,
            max_assignments=MAX_ASSIGNMENTS,
        ),
    ]
    result += [
        Capability(
            name=name,
            role="refactoring",
            domains=_GENERATOR_DOMAINS,
            input_types=("work_item",),
            output_types=("patch",),
            complexity="complex",
            cost=max(1.0, generator.cost),
            max_assignments=MAX_ASSIGNMENTS,
        )
        for name, generator in installed().items()
    ]
    return result


def register_all(connection: Connection) -> None:
    """Register the agents that ship."""
    coordination.register(connection, *capabilities())


def chooser(connection: Connection) -> Choose:
    """Return a function that names the generators to call for findings of a rule: those that fit and are available."""
    register_all(connection)
    external = agent_generators.register_available(connection, _GENERATOR_DOMAINS)
    own = [agent for agent in coordination.agents(connection) if agent.strict]
    by_domain: dict[str, frozenset[str]] = {}
    for domain in _GENERATOR_DOMAINS:
        candidates = [
            *coordination.candidates(own, Requirement(domain, "work_item", "patch", "simple"), limit=None),
            *coordination.candidates(external, Requirement(domain, "code", "patch", "simple"), limit=None),
        ]
        by_domain[domain] = frozenset(agent.name for _, agent in candidates)

    def choose(rule: Rule) -> frozenset[str]:
        return by_domain[DOMAIN_OF.get(rule.category, "code_quality")]

    return choose


# Attempts without a proposal, or skipped for lack of budget, say nothing about the generator.
_OUTCOMES = text("""
INSERT INTO outcomes (agent, domain, success, latency, cost, feedback, attempt_id, at)
SELECT a.generator, coalesce(CAST(:domains AS jsonb) ->> r.category, 'code_quality'),
       a.outcome = 'proposed' AND EXISTS (
           SELECT FROM candidates c WHERE a.work_item_id = ANY(c.work_items) AND a.generator = ANY(c.sources)
           AND c.status <> 'failed'),
       a.seconds, a.cost, coalesce(a.problem, failed.gates), a.id, a.at
FROM generation_attempts a
LEFT JOIN LATERAL (SELECT category FROM rule_versions v WHERE v.rule_id = a.rule_id LIMIT 1) AS r ON true
LEFT JOIN LATERAL (
    SELECT string_agg(DISTINCT g.gate || ' failed', ', ') AS gates FROM candidates c
    JOIN gate_results g ON g.base_commit = c.base_commit AND g.digest = c.digest AND g.verdict = 'failed'
    WHERE a.work_item_id = ANY(c.work_items) AND a.generator = ANY(c.sources)) AS failed ON true
WHERE a.outcome IN ('proposed', 'failed') AND a.at > clock_timestamp() - interval '7 days'
  AND NOT EXISTS (SELECT FROM outcomes o WHERE o.attempt_id = a.id)
ON CONFLICT (attempt_id) DO NOTHING
""")


def record_outcomes(connection: Connection) -> int:
    """Record the generators' results in the improvement loop as their outcomes; return how many were new."""
    return connection.execute(_OUTCOMES, {"domains": json.dumps(DOMAIN_OF)}).rowcount


def work(engine: Engine, *, worker: str, run_id: str | None = None) -> AssignmentCounts:
    """Route queued assignments and do those of our own agents, until none is left for them."""
    with engine.begin() as connection:
        register_all(connection)
    names = [capability.name for capability in capabilities()]
    routed = succeeded = failed = 0

    def claim() -> list[tuple[str, Workflow]]:
        nonlocal routed
        with engine.begin() as connection:
            routed += assignments.route(connection)
            return [
                (name, workflow)
                for name in names
                for workflow in assignments.claim_assigned(
                    connection, name, limit=MAX_ASSIGNMENTS, run_id=run_id
                )
            ]

    for claimed in batches(claim):
        with kept_alive(engine, [workflow for _, workflow in claimed]):
            for name, workflow in claimed:
                done = _do(engine, name, workflow)
                succeeded, failed = succeeded + done, failed + (not done)
    return AssignmentCounts(routed, succeeded, failed)


def _do(engine: Engine, agent: str, workflow: Workflow) -> bool:
    def do() -> bool:
        task = workflow.payload["task"]
        # In an assignment of a task graph the arguments lie one level deeper.
        arguments = task.get("task") if isinstance(task, dict) and "graph" in task else task
        if not isinstance(arguments, dict):
            raise QflowError(f"{agent} needs a JSON object")
        result = _HANDLERS.get(agent, _generate(agent))(engine, arguments)
        assignments.succeed(engine, workflow, agent, result)
        return True

    def report_failure(error: dict[str, Any]) -> None:
        assignments.report_failure(engine, workflow, agent, error["message"])

    return attempt(workflow, "assignment", do, report_failure) is not None


def _required(arguments: Mapping[str, Any], name: str) -> str:
    if not isinstance(arguments.get(name), str):
        raise QflowError(f"the task needs {name!r}")
    return arguments[name]


def _plan(engine: Engine, arguments: dict[str, Any]) -> Any:
    with engine.begin() as connection:
        planned = safe_work_planner.plan(
            connection, current_snapshot(connection, _required(arguments, "repository"))
        )
    return planned._asdict()


def _validate(engine: Engine, arguments: dict[str, Any]) -> Any:
    return single.check_patch(engine, _required(arguments, "repository"), _required(arguments, "patch"))


def _answer(engine: Engine, arguments: dict[str, Any]) -> Any:
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, _required(arguments, "repository"))
    index.update(engine, snapshot)
    with engine.connect() as connection:
        return answers.answer(connection, snapshot, _required(arguments, "question")).as_json()


def _generate(generator: str) -> Callable[[Engine, dict[str, Any]], Any]:
    def generate(engine: Engine, arguments: dict[str, Any]) -> Any:
        try:
            item = UUID(_required(arguments, "work_item"))
        except ValueError:
            raise QflowError(f"{arguments['work_item']!r} is not the id of a work item") from None
        return single.propose(engine, item, generator)

    return generate


_HANDLERS: dict[str, Callable[[Engine, dict[str, Any]], Any]] = {
    PLANNER: _plan,
    VALIDATOR: _validate,
    ANSWERER: _answer,
}
