"""Strategies: how a goal is worked on, and choosing among them by their past results.

Chosen by Thompson sampling (Thompson, Biometrika 25, 1933): a sample of each strategy's Beta posterior of
success (prior 1:1), plus a tenth of its quality, minus a tenth of its seconds and of its cost relative to
the highest of any strategy. The evidence is that of the same kind of goal and language where there is
enough of it, else of the kind of goal, else of all goals.

Belongs here: the strategies, the choice (pure), and the evidence read from the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, func, select, text

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.tables import sparc_goals
from qflow_dagster.infrastructure import language_model

# Uses from which the evidence of one kind of goal in one language suffices.
MIN_EVIDENCE = 5
WEIGHT = 0.1


class Strategy(NamedTuple):
    """How generators are called, and the highest risk that the architecture's gate accepts."""

    name: str
    description: str
    # All at once, taking the best candidate; or one per round, the cheapest or the most trusted first.
    order: Literal["all", "cheapest", "most_trusted"]
    max_risk: Literal["low", "medium", "high"]
    goal_types: Sequence[str] = ("finding", "metric", "text")
    # Languages it is for; empty means all.
    languages: Sequence[str] = ()
    # The generators it calls first, where they can do the step and have not tried; empty means all.
    generators: Sequence[str] = ()
    # The measures of a metric goal that it lowers; empty means all.
    measures: Sequence[str] = ()
    # Whether a model drafts the specification and the steps, and is asked first for changes.
    model_drafts: bool = False


_OF_FUNCTIONS = ("cognitive", "cyclomatic", "nesting", "code_lines", "maintainability")
_OF_FILES = {"remove-duplication": ("duplicated_lines",), "break-cycle": ("cycle_size",)}
STRATEGIES = (
    Strategy(
        "together", "Every matching generator is called at once; the best candidate is taken.", "all", "high"
    ),
    Strategy(
        "cheapest-first",
        "One generator per round, the cheapest first; at most medium risk.",
        "cheapest",
        "medium",
    ),
    Strategy("most-trusted-first", "One generator per round, the best record first.", "most_trusted", "high"),
    *(
        Strategy(
            name,
            description,
            "all",
            "high",
            ("metric",),
            ("Python",),
            (generator,),
            measures=_OF_FILES.get(generator, _OF_FUNCTIONS),
        )
        for name, description, generator in (
            (
                "simplify",
                "Conditions are merged, dead branches removed; nothing else moves.",
                "simplify-conditions",
            ),
            ("flatten", "Conditions are inverted; no function is added.", "guard-clauses"),
            (
                "variable",
                "A condition that a function has more than once becomes a variable.",
                "extract-variable",
            ),
            ("conditions", "Conditions with `and` or `or` become functions.", "extract-condition"),
            ("share", "What the function has more than once becomes one function.", "share-function"),
            ("extract", "Parts of the function become functions.", "extract-function"),
            (
                "flatten-then-extract",
                "Conditions are simplified and inverted, then parts of what is left become functions.",
                "flatten-extract",
            ),
            (
                "deduplicate",
                "What several functions of a file have becomes one function.",
                "remove-duplication",
            ),
            (
                "break-cycle",
                "What only annotations use is imported for type checkers alone.",
                "break-cycle",
            ),
        )
    ),
    Strategy(
        "raise-coverage",
        "Recorded calls that run what no test runs become tests in the test file that exists.",
        "all",
        "high",
        ("text",),
        ("Python",),
        ("raise-coverage",),
        measures=("coverage",),
    ),
    Strategy(
        "model-drafted",
        "A model drafts what must stay and the order of the steps, and makes changes first.",
        "all",
        "high",
        generators=("language-model",),
        model_drafts=True,
    ),
)


class Evidence(NamedTuple):
    """Past results of a strategy: uses, successes, and means of quality (0 to 1), seconds and cost."""

    uses: int = 0
    successes: int = 0
    quality: float = 0.0
    seconds: float = 0.0
    cost: float = 0.0


def matching(goal_type: str, language: str, measure: str = "") -> list[Strategy]:
    """Return the strategies for goals of that kind, language and measure; those of a model only if there is one."""
    return [
        strategy
        for strategy in STRATEGIES
        if goal_type in strategy.goal_types
        and (not strategy.languages or language in strategy.languages)
        and (not strategy.measures or measure in strategy.measures)
        and (not strategy.model_drafts or language_model.configured())
    ]


def named(name: str) -> Strategy:
    """Return the strategy of that name.

    Raises:
        UsageError: unknown name.
    """
    for strategy in STRATEGIES:
        if strategy.name == name:
            return strategy
    raise UsageError(
        f"unknown strategy {name!r}; strategies: {', '.join(strategy.name for strategy in STRATEGIES)}"
    )


def choose(
    strategies: Sequence[Strategy], evidence: Mapping[str, Evidence], draw: Callable[[float, float], float]
) -> tuple[Strategy, dict[str, float]]:
    """Return the strategy with the highest value, and the values of all. `draw(a, b)` samples Beta(a, b)."""
    slowest = max((past.seconds for past in evidence.values()), default=0.0) or 1.0
    dearest = max((past.cost for past in evidence.values()), default=0.0) or 1.0
    values = {}
    for strategy in strategies:
        past = evidence.get(strategy.name, Evidence())
        sampled = draw(1 + past.successes, 1 + past.uses - past.successes)
        adjustment = past.quality - past.seconds / slowest - past.cost / dearest
        values[strategy.name] = round(sampled + WEIGHT * adjustment, 4)
    return max(strategies, key=lambda strategy: values[strategy.name]), values


def evidence(connection: Connection, goal_type: str, language: str) -> dict[str, Evidence]:
    """Return the evidence of each strategy: of such goals where there were enough, else of a wider kind."""
    goals = sparc_goals.c
    averages = (func.coalesce(func.avg(column), 0) for column in (goals.quality, goals.seconds, goals.cost))
    uses_and_averages = (func.count(), func.count().filter(goals.success), *averages)
    of_kind, in_language = goals.goal_type == goal_type, goals.language == language
    by_strategy: dict[str, Evidence] = {}
    for scope in ((of_kind, in_language), (of_kind,), ()):
        query = select(goals.strategy, *uses_and_averages).where(goals.success.is_not(None), *scope)
        for strategy, *values in connection.execute(query.group_by(goals.strategy)):
            if strategy not in by_strategy and (values[0] >= MIN_EVIDENCE or not scope):
                by_strategy[strategy] = Evidence(*values)
    return by_strategy


def statistics(connection: Connection) -> list[dict[str, Any]]:
    """Return by strategy: uses, successes, success rate, rework rate (rejected phases), seconds by phase, cost."""
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
