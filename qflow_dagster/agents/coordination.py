"""Agent coordination: what each agent can do, whether it is available, and which one gets an assignment.

Belongs here: the registry and the router. Does not belong here: the lifecycle of an assignment
(`assignments`), messages (`agent_messages`), the agents that ship (`builtin_agents`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, case, func, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from qflow_dagster.agents.tables import agents as table
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.processes import host_name
from qflow_dagster.safety.names import check_name
from qflow_dagster.settings import settings

Role = Literal[
    "self_improve", "cost_optimize", "architect", "technology", "refactoring", "chat", "quality_enforcer"
]
Availability = Literal["available", "busy", "overloaded", "offline"]
Complexity = Literal["simple", "medium", "complex"]
DOMAINS = (
    "code_quality",
    "testing",
    "documentation",
    "architecture",
    "performance",
    "security",
    "refactoring",
    "knowledge",
    "learning",
    "monitoring",
    "planning",
    "validation",
)
AVAILABLE = {"available": 1.0, "busy": 0.7, "overloaded": 0.2}
COST_FACTOR = {"simple": 0.5, "medium": 1.0, "complex": 2.5}
_LEVEL = {"simple": 0, "medium": 1, "complex": 2}
# The success rate assumed of a new agent: 4 of 5 (Beta prior 4:1).
PRIOR_SUCCESSES, PRIOR_FAILURES = 4.0, 1.0
MAX_CANDIDATES = 5
MISSED_HEARTBEATS = 3


MAX_ASSIGNMENTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Capability:
    """The declaration of what an agent can do."""

    name: str
    role: Role = "chat"
    domains: Sequence[str] = ()
    input_types: Sequence[str] = ("code",)
    output_types: Sequence[str] = ("analysis",)
    complexity: Complexity = "medium"
    cost: float = 100.0
    # How many assignments it may have at the same time.
    max_assignments: int = 1
    # Seconds between heartbeats; None for an agent inside our own runs, which sends none.
    heartbeat: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 50 or not all(c.isalnum() or c in "-_." for c in self.name):
            raise UsageError(
                f"{self.name!r} is not a valid agent name: 1 to 50 letters, digits, '-', '_', '.'"
            )
        check_name(self.name, "an agent", limit=50)
        if (
            not all(map(math.isfinite, (self.cost, self.heartbeat or 0.0)))
            or self.max_assignments > MAX_ASSIGNMENTS
        ):
            raise UsageError(
                f"agent {self.name!r}: at most {MAX_ASSIGNMENTS} assignments; cost and heartbeat must be finite"
            )
        for field, value, allowed in (
            ("role", self.role, get_args(Role)),
            ("complexity", self.complexity, get_args(Complexity)),
        ):
            if value not in allowed:
                raise UsageError(
                    f"agent {self.name!r}: unknown {field} {value!r}; allowed: {', '.join(allowed)}"
                )
        for domain in self.domains:
            if domain not in DOMAINS:
                raise UsageError(
                    f"agent {self.name!r}: unknown domain {domain!r}; domains: {', '.join(DOMAINS)}"
                )
        if self.max_assignments < 1 or self.cost < 0 or (self.heartbeat is not None and self.heartbeat <= 0):
            raise UsageError(
                f"agent {self.name!r}: cost and heartbeat must not be negative, and assignments at least 1"
            )


class Agent(NamedTuple):
    """A registered agent as the router sees it."""

    name: str
    role: str
    domains: Sequence[str]
    input_types: Sequence[str]
    output_types: Sequence[str]
    complexity: str
    cost: float
    availability: str
    max_assignments: int
    load: int
    successes: int
    failures: int
    # Whether it understands its own input types only.
    strict: bool = False
    # The machine it works on; None for an agent inside our own runs.
    host: str | None = None

    @property
    def success_rate(self) -> float:
        """Return the posterior mean of its success (Beta prior 4:1, so that few outcomes do not swing it)."""
        return (self.successes + PRIOR_SUCCESSES) / (
            self.successes + self.failures + PRIOR_SUCCESSES + PRIOR_FAILURES
        )


class Requirement(NamedTuple):
    """The requirements of an assignment."""

    domain: str
    input_type: str = "code"
    output_type: str = "analysis"
    complexity: str = "medium"


def register(connection: Connection, *capabilities: Capability) -> None:
    """Register agents, or update their capabilities; this counts as a heartbeat."""
    rows = [
        {
            **{
                name: getattr(agent, name)
                for name in ("name", "role", "complexity", "cost", "max_assignments")
            },
            **{name: list(getattr(agent, name)) for name in ("domains", "input_types", "output_types")},
            "availability": "available",
            "heartbeat_interval": agent.heartbeat,
            "host": None if agent.heartbeat is None else host_name(),
        }
        # In one order, so that two who register the same do not wait for each other.
        for agent in sorted(capabilities, key=lambda agent: agent.name)
    ]
    insert = pg_insert(table).values(rows)
    values: dict[str, Any] = {column: insert.excluded[column] for column in rows[0] if column != "name"}
    # An agent of ours that a person set offline stays offline.
    is_ours = insert.excluded.heartbeat_interval.is_(None)
    values["availability"] = case((is_ours, table.c.availability), else_="available")
    values["heartbeat_at"] = func.clock_timestamp()
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=values))


def set_availability(connection: Connection, name: str, availability: Availability) -> None:
    """Set the availability an agent declares; `offline` stays until it is set again.

    Raises:
        UsageError: unknown agent or availability.
    """
    if availability not in get_args(Availability):
        raise UsageError(
            f"unknown availability {availability!r}; allowed: {', '.join(get_args(Availability))}"
        )
    _update(connection, name, availability=availability)


def heartbeat(connection: Connection, name: str) -> None:
    """Record that an agent is alive, on this machine.

    Raises:
        UsageError: unknown agent.
    """
    _update(connection, name, host=host_name())


def _update(connection: Connection, name: str, **values: str) -> None:
    query = update(table).where(table.c.name == name).values(heartbeat_at=func.clock_timestamp(), **values)
    if connection.execute(query).rowcount == 0:
        raise UsageError(f"there is no agent {name!r}; see `qflow agent list`")


_AGENTS = text(f"""
SELECT a.name, a.role, a.domains, a.input_types, a.output_types, a.complexity, a.cost,
       CASE WHEN a.heartbeat_at < clock_timestamp() - make_interval(secs => {MISSED_HEARTBEATS} * a.heartbeat_interval)
            THEN 'offline' ELSE a.availability END AS availability,
       a.max_assignments, coalesce(l.load, 0) AS load,
       coalesce(o.successes, 0) AS successes, coalesce(o.failures, 0) AS failures,
       a.heartbeat_interval IS NULL AS strict, a.host
FROM agents a
LEFT JOIN (SELECT s.agent, count(*) AS load FROM assignments s JOIN workflows w ON w.id = s.id
           WHERE w.status IN ('assigned', 'running') GROUP BY s.agent) AS l ON l.agent = a.name
LEFT JOIN (SELECT agent, count(*) FILTER (WHERE success) AS successes,
                  count(*) FILTER (WHERE NOT success) AS failures
           FROM outcomes GROUP BY agent) AS o ON o.agent = a.name
ORDER BY a.name
""")


def agents(connection: Connection) -> list[Agent]:
    """Return all registered agents with their current load and their results."""
    return [Agent(*row) for row in connection.execute(_AGENTS)]


def show(connection: Connection, name: str) -> Agent:
    """Return one agent.

    Raises:
        QflowError: unknown agent.
    """
    for agent in agents(connection):
        if agent.name == name:
            return agent
    raise QflowError(f"there is no agent {name!r}; see `qflow agent list`")


def fit(agent: Agent, requirement: Requirement) -> float | None:
    """Return how well an agent fits, 0 to 1, or None if it cannot do the assignment at all.

    0.3 domain + 0.3 mean(input, output) + 0.2 success rate + 0.2 availability; a mismatch counts
    0.5 (domain) or 0.3 (types). It cannot if it is offline, if the complexity is beyond its own, or if it is
    strict and the input type is not among its own.
    """
    if agent.availability == "offline" or _LEVEL[agent.complexity] < _LEVEL[requirement.complexity]:
        return None
    if agent.strict and requirement.input_type not in agent.input_types:
        return None
    availability = agent.availability
    if agent.load >= agent.max_assignments:
        availability = "overloaded"
    elif agent.load and availability == "available":
        availability = "busy"
    domain = 1.0 if requirement.domain in agent.domains else 0.5
    types = (
        (1.0 if requirement.input_type in agent.input_types else 0.3)
        + (1.0 if requirement.output_type in agent.output_types else 0.3)
    ) / 2
    return 0.3 * domain + 0.3 * types + 0.2 * agent.success_rate + 0.2 * AVAILABLE[availability]


def candidates(
    agents: Sequence[Agent],
    requirement: Requirement,
    tried: Sequence[str] = (),
    limit: int | None = MAX_CANDIDATES,
) -> list[tuple[float, Agent]]:
    """Return the `limit` agents that fit best and at least `min_fit` (a setting), best first, without those that tried.

    Equal fits go to the cheaper one for that complexity, then by name.
    """
    min_fit = settings().agents.min_fit
    matching = [
        (value, agent)
        for agent in agents
        if agent.name not in tried and (value := fit(agent, requirement)) is not None and value >= min_fit
    ]
    factor = COST_FACTOR[requirement.complexity]
    return sorted(matching, key=lambda pair: (-pair[0], pair[1].cost * factor, pair[1].name))[:limit]


def statistics(connection: Connection, agent: str | None = None) -> list[dict[str, Any]]:
    """Return by agent and domain: outcomes, success rate (posterior mean), median seconds, cost, quality."""
    query = text(f"""
        SELECT agent, domain, count(*) AS outcomes, count(*) FILTER (WHERE success) AS succeeded,
               round(((count(*) FILTER (WHERE success) + {PRIOR_SUCCESSES})
                      / (count(*) + {PRIOR_SUCCESSES + PRIOR_FAILURES}))::numeric, 3)::float AS success_rate,
               round(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency)::numeric, 3)::float AS median_seconds,
               round(sum(cost)::numeric, 4)::float AS cost, round(avg(quality)::numeric, 3)::float AS quality
        FROM outcomes WHERE CAST(:agent AS text) IS NULL OR agent = :agent
        GROUP BY agent, domain ORDER BY agent, outcomes DESC
    """)
    return [dict(row) for row in connection.execute(query, {"agent": agent}).mappings()]
