"""Agent coordination: who can do what, who is there, and who gets an assignment.

Belongs here: the registry and the router. Does not belong here: the life of an assignment
(`assignments`), messages (`agent_messages`), what the agents that ship do (`builtin_agents`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError, UsageError
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
# Success before anything is known of an agent: as if 4 of 5 had succeeded (Beta prior 4:1).
PRIOR_GOOD, PRIOR_BAD = 4.0, 1.0
CONSIDERED = 5
MISSED_HEARTBEATS = 3


MAX_AT_A_TIME = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What an agent says it can do."""

    name: str
    role: Role = "chat"
    domains: Sequence[str] = ()
    input_types: Sequence[str] = ("code",)
    output_types: Sequence[str] = ("analysis",)
    complexity: Complexity = "medium"
    cost: float = 100.0
    # Assignments at a time.
    most: int = 1
    # Seconds between heartbeats; None: it works inside our own runs.
    heartbeat: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 50 or not all(c.isalnum() or c in "-_." for c in self.name):
            raise UsageError(f"{self.name!r} names no agent: 1 to 50 letters, digits, '-', '_', '.'")
        check_name(self.name, "an agent", limit=50)
        if not all(map(math.isfinite, (self.cost, self.heartbeat or 0.0))) or self.most > MAX_AT_A_TIME:
            raise UsageError(
                f"agent {self.name!r}: most is at most {MAX_AT_A_TIME}; cost and heartbeat are finite"
            )
        for what, value, known in (
            ("role", self.role, get_args(Role)),
            ("complexity", self.complexity, get_args(Complexity)),
        ):
            if value not in known:
                raise UsageError(f"agent {self.name!r}: no {what} {value!r}; there are: {', '.join(known)}")
        for domain in self.domains:
            if domain not in DOMAINS:
                raise UsageError(
                    f"agent {self.name!r}: no domain {domain!r}; there are: {', '.join(DOMAINS)}"
                )
        if self.most < 1 or self.cost < 0 or (self.heartbeat is not None and self.heartbeat <= 0):
            raise UsageError(
                f"agent {self.name!r}: most, cost and heartbeat are not negative, and most at least 1"
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
    most: int
    load: int
    successes: int
    failures: int
    # A program that understands its input types and no others.
    strict: bool = False

    @property
    def success_rate(self) -> float:
        """Posterior mean of its success (Beta prior 4:1, so that few outcomes do not swing it)."""
        return (self.successes + PRIOR_GOOD) / (self.successes + self.failures + PRIOR_GOOD + PRIOR_BAD)


class Wanted(NamedTuple):
    """What an assignment asks for."""

    domain: str
    input_type: str = "code"
    output_type: str = "analysis"
    complexity: str = "medium"


def register(connection: Connection, capability: Capability) -> None:
    """Make an agent known, or say anew what it can do; it counts as heard of now."""
    query = text("""
        INSERT INTO agents (name, role, domains, input_types, output_types, complexity, cost, availability, most,
                            heartbeat_interval)
        VALUES (:name, :role, :domains, :input_types, :output_types, :complexity, :cost, 'available', :most, :heartbeat)
        ON CONFLICT (name) DO UPDATE SET
            role = excluded.role, domains = excluded.domains, input_types = excluded.input_types,
            output_types = excluded.output_types, complexity = excluded.complexity, cost = excluded.cost,
            most = excluded.most, heartbeat_interval = excluded.heartbeat_interval,
            -- One of ours that somebody took out stays out.
            availability = CASE WHEN excluded.heartbeat_interval IS NULL THEN agents.availability
                                ELSE 'available' END,
            heartbeat_at = clock_timestamp()
    """)
    values = {
        name: getattr(capability, name)
        for name in ("name", "role", "complexity", "cost", "most", "heartbeat")
    }
    lists = {name: list(getattr(capability, name)) for name in ("domains", "input_types", "output_types")}
    connection.execute(query, values | lists)


def set_availability(connection: Connection, name: str, availability: Availability) -> None:
    """What an agent says of itself; `offline` stays until it says otherwise.

    Raises:
        UsageError: there is no such agent, or no such availability.
    """
    if availability not in get_args(Availability):
        raise UsageError(f"no availability {availability!r}; there are: {', '.join(get_args(Availability))}")
    query = text(
        "UPDATE agents SET availability = :value, heartbeat_at = clock_timestamp() WHERE name = :name"
    )
    if connection.execute(query, {"name": name, "value": availability}).rowcount == 0:
        raise UsageError(f"there is no agent {name!r}; see `qflow agent list`")


def beat(connection: Connection, name: str) -> None:
    """An agent is there.

    Raises:
        UsageError: there is no such agent.
    """
    query = text("UPDATE agents SET heartbeat_at = clock_timestamp() WHERE name = :name")
    if connection.execute(query, {"name": name}).rowcount == 0:
        raise UsageError(f"there is no agent {name!r}; see `qflow agent list`")


_AGENTS = text(f"""
SELECT a.name, a.role, a.domains, a.input_types, a.output_types, a.complexity, a.cost,
       CASE WHEN a.heartbeat_at < clock_timestamp() - make_interval(secs => {MISSED_HEARTBEATS} * a.heartbeat_interval)
            THEN 'offline' ELSE a.availability END AS availability,
       a.most, coalesce(l.load, 0) AS load, coalesce(o.good, 0) AS successes, coalesce(o.bad, 0) AS failures,
       a.heartbeat_interval IS NULL AS strict
FROM agents a
LEFT JOIN (SELECT s.agent, count(*) AS load FROM assignments s JOIN workflows w ON w.id = s.id
           WHERE w.status IN ('assigned', 'running') GROUP BY s.agent) AS l ON l.agent = a.name
LEFT JOIN (SELECT agent, count(*) FILTER (WHERE success) AS good, count(*) FILTER (WHERE NOT success) AS bad
           FROM outcomes GROUP BY agent) AS o ON o.agent = a.name
ORDER BY a.name
""")


def agents(connection: Connection) -> list[Agent]:
    """All registered agents, with what they have in hand and how they did."""
    return [Agent(*row) for row in connection.execute(_AGENTS)]


def show(connection: Connection, name: str) -> Agent:
    """One agent.

    Raises:
        QflowError: there is none.
    """
    for agent in agents(connection):
        if agent.name == name:
            return agent
    raise QflowError(f"there is no agent {name!r}; see `qflow agent list`")


def fit(agent: Agent, wanted: Wanted) -> float | None:
    """How well an agent fits, 0 to 1, or None where it is out of the question.

    0.3 domain + 0.3 mean(input, output) + 0.2 success rate + 0.2 availability; what does not match
    counts 0.5 (domain) and 0.3 (types). Offline is out, and what is beyond its complexity,
    and what a program of ours does not understand.
    """
    if agent.availability == "offline" or _LEVEL[agent.complexity] < _LEVEL[wanted.complexity]:
        return None
    if agent.strict and wanted.input_type not in agent.input_types:
        return None
    said = agent.availability
    if agent.load >= agent.most:
        said = "overloaded"
    elif agent.load and said == "available":
        said = "busy"
    domain = 1.0 if wanted.domain in agent.domains else 0.5
    types = (
        (1.0 if wanted.input_type in agent.input_types else 0.3)
        + (1.0 if wanted.output_type in agent.output_types else 0.3)
    ) / 2
    return 0.3 * domain + 0.3 * types + 0.2 * agent.success_rate + 0.2 * AVAILABLE[said]


def candidates(
    known: Sequence[Agent], wanted: Wanted, tried: Sequence[str] = ()
) -> list[tuple[float, Agent]]:
    """The best five that fit at least as well as the least allowed, best first; none that was tried already.

    Equal fits go to the cheaper one for that complexity, then by name.
    """
    least = settings().agents.least_fit
    found = [
        (value, agent) for agent in known if (value := fit(agent, wanted)) is not None and value >= least
    ]
    found = [(value, agent) for value, agent in found if agent.name not in tried]
    factor = COST_FACTOR[wanted.complexity]
    return sorted(found, key=lambda one: (-one[0], one[1].cost * factor, one[1].name))[:CONSIDERED]


def statistics(connection: Connection, agent: str | None = None) -> list[dict[str, Any]]:
    """By agent and domain: outcomes, success rate (posterior mean), median seconds, cost, quality."""
    query = text(f"""
        SELECT agent, domain, count(*) AS outcomes, count(*) FILTER (WHERE success) AS succeeded,
               round(((count(*) FILTER (WHERE success) + {PRIOR_GOOD})
                      / (count(*) + {PRIOR_GOOD + PRIOR_BAD}))::numeric, 3)::float AS success_rate,
               round(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency)::numeric, 3)::float AS median_seconds,
               round(sum(cost)::numeric, 4)::float AS cost, round(avg(quality)::numeric, 3)::float AS quality
        FROM outcomes WHERE CAST(:agent AS text) IS NULL OR agent = :agent
        GROUP BY agent, domain ORDER BY agent, outcomes DESC
    """)
    return [dict(row) for row in connection.execute(query, {"agent": agent}).mappings()]
