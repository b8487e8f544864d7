"""Strategies: templates of how a goal is worked on, and choosing among them by how they did.

Chosen by Thompson sampling: a draw from each strategy's Beta posterior of success (prior 1:1),
plus a tenth of its quality, minus a tenth of its seconds and of its cost relative to the most any
strategy needed. What is known of a kind of goal and language counts where it is enough, else what
is known of the kind of goal, else of all (Thompson, Biometrika 25, 1933).

Belongs here: the templates, the choice (pure), and what the tables say of past uses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.errors import UsageError

# Uses from which a kind of goal in a language is judged by itself.
MIN_EVIDENCE = 5
WEIGHT = 0.1


class Strategy(NamedTuple):
    """How generators are asked, and how much risk the architecture's gate lets through."""

    name: str
    about: str
    # All at once and the best is taken; or one a round, the cheapest or the most trusted first.
    ask: Literal["all", "cheapest", "most_trusted"]
    largest_risk: Literal["low", "medium", "high"]
    goal_types: Sequence[str] = ("finding", "metric", "text")
    # Languages it is for; none: all.
    languages: Sequence[str] = ()


STRATEGIES = (
    Strategy(
        "together", "Every generator that fits is asked at once; the best candidate is taken.", "all", "high"
    ),
    Strategy(
        "cheapest-first",
        "One generator a round, the cheapest first; at most medium risk.",
        "cheapest",
        "medium",
    ),
    Strategy("most-trusted-first", "One generator a round, the best record first.", "most_trusted", "high"),
)


class Evidence(NamedTuple):
    """How a strategy did: uses, successes, and means of quality (0 to 1), seconds and cost."""

    uses: int = 0
    successes: int = 0
    quality: float = 0.0
    seconds: float = 0.0
    cost: float = 0.0


def fitting(goal_type: str, language: str) -> list[Strategy]:
    """The strategies for goals of that kind, in that language."""
    return [
        one
        for one in STRATEGIES
        if goal_type in one.goal_types and (not one.languages or language in one.languages)
    ]


def named(name: str) -> Strategy:
    """The strategy of that name.

    Raises:
        UsageError: there is none.
    """
    for one in STRATEGIES:
        if one.name == name:
            return one
    raise UsageError(f"no strategy {name!r}; there are: {', '.join(one.name for one in STRATEGIES)}")


def choose(
    strategies: Sequence[Strategy], known: Mapping[str, Evidence], draw: Callable[[float, float], float]
) -> tuple[Strategy, dict[str, float]]:
    """The strategy of the highest draw, and what each drew. `draw(a, b)` is a sample of Beta(a, b)."""
    slowest = max((one.seconds for one in known.values()), default=0.0) or 1.0
    dearest = max((one.cost for one in known.values()), default=0.0) or 1.0
    worth = {}
    for one in strategies:
        seen = known.get(one.name, Evidence())
        sampled = draw(1 + seen.successes, 1 + seen.uses - seen.successes)
        rest = seen.quality - seen.seconds / slowest - seen.cost / dearest
        worth[one.name] = round(sampled + WEIGHT * rest, 4)
    return max(strategies, key=lambda one: worth[one.name]), worth


_KNOWN = text("""
SELECT strategy, count(*) AS uses, count(*) FILTER (WHERE success) AS successes,
       coalesce(avg(quality), 0) AS quality, coalesce(avg(seconds), 0) AS seconds, coalesce(avg(cost), 0) AS cost
FROM sparc_goals WHERE success IS NOT NULL
  AND (CAST(:goal_type AS text) IS NULL OR goal_type = :goal_type)
  AND (CAST(:language AS text) IS NULL OR language = :language)
GROUP BY strategy
""")


def evidence(connection: Connection, goal_type: str, language: str) -> dict[str, Evidence]:
    """What is known of each strategy: of such goals where there were enough, else of a wider kind."""
    found: dict[str, Evidence] = {}
    for scope in ((goal_type, language), (goal_type, None), (None, None)):
        rows = connection.execute(_KNOWN, {"goal_type": scope[0], "language": scope[1]})
        for strategy, *values in rows:
            if strategy not in found and (values[0] >= MIN_EVIDENCE or scope == (None, None)):
                found[strategy] = Evidence(*values)
    return found


def statistics(connection: Connection) -> list[dict[str, Any]]:
    """By strategy: uses, successes, success rate, rework (rejected gates by phases), seconds by phase, cost."""
    query = text("""
        SELECT g.strategy, count(DISTINCT g.id) AS uses,
               count(DISTINCT g.id) FILTER (WHERE g.success) AS succeeded,
               round((count(DISTINCT g.id) FILTER (WHERE g.success))::numeric
                     / nullif(count(DISTINCT g.id) FILTER (WHERE g.success IS NOT NULL), 0), 2)::float AS success_rate,
               round((count(*) FILTER (WHERE p.verdict = 'rejected'))::numeric
                     / nullif(count(p.verdict), 0), 2)::float AS rework_rate,
               round((avg(p.seconds) FILTER (WHERE p.phase = 'specification'))::numeric, 2)::float AS specification,
               round((avg(p.seconds) FILTER (WHERE p.phase = 'pseudocode'))::numeric, 2)::float AS pseudocode,
               round((avg(p.seconds) FILTER (WHERE p.phase = 'architecture'))::numeric, 2)::float AS architecture,
               round((avg(p.seconds) FILTER (WHERE p.phase = 'refinement'))::numeric, 2)::float AS refinement,
               round((avg(p.seconds) FILTER (WHERE p.phase = 'completion'))::numeric, 2)::float AS completion,
               round(coalesce(sum(p.cost), 0)::numeric, 4)::float AS cost
        FROM sparc_goals g LEFT JOIN sparc_phases p ON p.goal_id = g.id AND p.verdict IS NOT NULL
        GROUP BY g.strategy ORDER BY uses DESC, g.strategy
    """)
    return [dict(row) for row in connection.execute(query).mappings()]
