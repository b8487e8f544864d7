"""The last two phases of a goal: refinement puts candidates to the gates, completion follows the suggestion.

Belongs here: refinement, completion, and the check of a waiting completion. Does not belong here: the phases
before (`sparc_phases`), suggestions themselves (`self_improvement`).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text

from qflow_dagster.agents import builtin_agents, self_improvement, sparc_drafts, sparc_phases, sparc_steps
from qflow_dagster.agents.tables import suggestions
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import sparc_strategies
from qflow_dagster.execution.sparc import PHASES, Gate, Goal, Maker, PhaseResult
from qflow_dagster.generation import candidate_records, characterisation, import_cycles, single, validation
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.generators import generators
from qflow_dagster.generation.remaining import measures_in
from qflow_dagster.generation.repository_gates import recorded_tests
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.registry import WorkflowTypeName

AUTHOR = self_improvement.ACTOR
STEPS, CHANGES = PHASES[1], PHASES[3]
DECLINED = ("rejected", "reverted", "closed", "failed", "superseded")
ACCEPTED = ("verified", "merged")


def refinement(engine: Engine, goal: Goal) -> PhaseResult:
    """Generate the next step's candidates and run their gates, with the agents that the strategy selects."""
    step = next((step for step in goal.last(STEPS)["steps"] if step["left"]), None)
    if step is None:
        reason = "no step is left that an agent can do"
        return PhaseResult(
            f"# Round {goal.round}\n\n{reason}.", {}, AUTHOR, Gate("gates", "rejected", reason)
        )
    item = UUID(step["work_item"])
    if step.get("existing"):
        return _take_existing(engine, goal, step)
    with engine.begin() as connection:
        # External agents become generators of this process.
        builtin_agents.chooser(connection)
    step = {**step, "left": [name for name in step["left"] if name in generators()]}
    if not step["left"]:
        reason = "every agent that could do the step has gone offline"
        return PhaseResult(
            f"# Round {goal.round}\n\n{reason}.", {}, AUTHOR, Gate("gates", "rejected", reason, STEPS)
        )
    generator_names = _generators_to_call(engine, goal, step)
    function = goal.target.function
    result = single.try_item(
        engine, item, _restricted_to(generator_names), lines=step["lines"] if function else None
    )
    with engine.begin() as connection:
        builtin_agents.record_outcomes(connection)
    rows = [
        {
            "id": str(candidate.id),
            "by": candidate.sources,
            "lines": candidate.patch.lines,
            "status": candidate.status,
            "gates": {gate.name: f"{gate.verdict}: {gate.evidence[:200]}" for gate in candidate.gates},
        }
        for candidate in result.candidates
    ]
    chosen = result.best
    lost_names = sorted(set(goal.last(PHASES[0])["names"]) - _names(chosen)) if chosen else []
    others = _other_functions(chosen, function) if chosen and function else []
    stays = _does_as_before(engine, goal, chosen) if chosen else None
    data: dict[str, Any] = {
        "work_item": step["work_item"],
        "rule": step["rule"],
        "tried": [[step["work_item"], name] for name in generator_names],
        "candidates": rows,
        "chosen": chosen and str(chosen.id),
        "patch": chosen and chosen.patch.text,
        "lost_names": lost_names,
        "measured": _measured(chosen, goal) if chosen else [],
        "characterisation": stays and f"{stays.verdict}: {stays.evidence}",
        "problems": [
            *(
                f"{attempt.call.generator}: {attempt.problem}"
                for attempt in result.attempts
                if attempt.problem
            ),
            *(f"line {location.line}: {location.reason}" for location in result.withheld),
        ],
    }
    cost = sum(float(attempt.usage.get("cost", 0.0)) for attempt in result.attempts)
    lines = [f"# Round {goal.round}: {step['what']}", "", f"Called: {', '.join(generator_names)}.", ""]
    lines += _rejections(goal)
    for row in rows:
        lines.append(f"- {', '.join(row['by'])}, {row['lines']} lines, {row['status']}")
        lines += [f"    - {name}: {verdict}" for name, verdict in row["gates"].items()]
    lines += [f"- {problem}" for problem in data["problems"]]
    if chosen is None:
        failed = sorted(
            {name for row in rows for name, verdict in row["gates"].items() if verdict.startswith("failed")}
        )
        why = f": {result.withheld[0].reason}" if result.withheld else ""
        reason = f"no candidate passed: {', '.join(failed)}" if rows else f"nothing was proposed{why}"
        gate = Gate("gates", "rejected", f"{', '.join(generator_names)}: {reason}", STEPS)
    elif lost_names:
        gate = Gate(
            "facts",
            "rejected",
            f"{', '.join(generator_names)}: public names would disappear: {', '.join(lost_names[:10])}",
            STEPS,
        )
    elif others:
        reason = f"the goal is {function}, and it also changes {', '.join(others[:10])}"
        gate = Gate("facts", "rejected", f"{', '.join(generator_names)}: {reason}", STEPS)
    elif stays is not None and stays.verdict == "failed":
        reason = f"{', '.join(generator_names)}: it does something else: {stays.evidence}"
        gate = Gate(stays.name, "rejected", reason, STEPS)
    else:
        lines += ["", *[f"- {change}" for change in data["measured"]]]
        lines += ([f"- {stays.name}: {data['characterisation']}"] if stays is not None else []) + [""]
        lines += ["```diff", chosen.patch.text.rstrip("\n").replace("```", "` ` `"), "```"]
        gate = Gate(
            "gates", "accepted", f"{', '.join(chosen.sources)}: {chosen.patch.lines} lines pass every gate"
        )
    return PhaseResult(
        "\n".join(lines), data, chosen.sources[0] if chosen else generator_names[0], gate, cost
    )


def _take_existing(engine: Engine, goal: Goal, step: dict[str, Any]) -> PhaseResult:
    """Take the change of a step that exists already: it passed the gates when it was suggested."""
    change = step["existing"]
    with engine.connect() as connection:
        row = candidate_records.get(connection, UUID(change["candidate"]))
    data = {
        "work_item": step["work_item"],
        "rule": step["rule"],
        "tried": [[step["work_item"], change["suggestion"]]],
        "chosen": change["candidate"],
        "patch": row["patch"],
    }
    lines = [
        f"# Round {goal.round}: {step['what']}",
        "",
        f"Suggestion {change['suggestion']} is {change['state']}; nothing else is made.",
        "",
        "```diff",
        row["patch"].rstrip("\n").replace("```", "` ` `"),
        "```",
    ]
    reason = f"the change of {', '.join(change['sources'])} that is {change['state']} is used"
    return PhaseResult("\n".join(lines), data, change["sources"][0], Gate("gates", "accepted", reason))


def _does_as_before(engine: Engine, goal: Goal, candidate: Candidate) -> validation.Gate | None:
    """Run the tests that the specification recorded on a change; None: it recorded none."""
    checks = goal.last(PHASES[0]).get("characterisation")
    if not checks or not checks["tests"]:
        return None
    with engine.connect() as connection:
        objects = repositories.find(connection, goal.repository).objects
        snapshot = current_snapshot(connection, goal.repository)
    return characterisation.check(engine, objects, snapshot, checks, candidate.after)


def _names(candidate: Candidate) -> set[str]:
    """Return the names that the goal's file defines after the change."""
    # Imported late: commands that only read need no parsers.
    from qflow_dagster.ingestion.extraction import extract

    text = candidate.files[0].result.after
    facts = extract(text.encode(), matchers.LANGUAGES.get(candidate.request.language, ""))
    return {symbol.qualified_name for symbol in facts.symbols}


def _other_functions(candidate: Candidate, function: str) -> list[str]:
    """Return the functions other than the goal's that a change alters; new ones are its helpers."""
    from qflow_dagster.ingestion.extraction import extract

    language = matchers.LANGUAGES.get(candidate.request.language, "")

    def bodies(text: str) -> dict[str, str]:
        lines = text.splitlines()
        return {
            symbol.qualified_name: "\n".join(lines[symbol.start_line - 1 : symbol.end_line])
            for symbol in extract(text.encode(), language).symbols
            if symbol.decisions is not None and symbol.seq > 0
        }

    before, after = bodies(candidate.request.text), bodies(candidate.files[0].result.after)
    inside = (f"{function}.", function)
    return [
        name
        for name, body in before.items()
        if after.get(name) != body
        and not name.startswith(inside[0])
        and name != function
        and not function.startswith(f"{name}.")
    ]


def _measured(candidate: Candidate, goal: Goal) -> list[str]:
    """Return what a change does to the measures of a goal's function, or to the cycle of imports of its file."""
    cycle, function = candidate.request.surroundings.cycle, goal.target.function
    if candidate.request.covers:
        return [gate.evidence for gate in candidate.gates if gate.name == recorded_tests.NAME]
    if cycle is not None:
        old, new = (
            len(import_cycles.members(candidate.request.path, text, cycle))
            for text in (candidate.request.text, candidate.files[0].result.after)
        )
        return [f"files in the import cycle of `{candidate.request.path}`: {old} before, {new} after"]
    return [*_of_function(candidate, function), *_left(candidate, goal)] if function else []


def _of_function(candidate: Candidate, function: str) -> list[str]:
    """Return what a change does to the measures of a function, and the functions that are new."""
    language = matchers.LANGUAGES.get(candidate.request.language, "")
    before, after = (
        {name: measures for name, _, measures in measures_in(text, language)}
        for text in (candidate.request.text, candidate.files[0].result.after)
    )
    own = [
        f"{name.replace('_', ' ')} of `{function}`: {value:g} before, {after[function][name]:g} after"
        for name, value in before.get(function, {}).items()
        if function in after and after[function].get(name) not in (None, value)
    ]
    new = [
        f"new: `{name}`, cognitive {after[name].get('cognitive', 0):g}"
        for name in after
        if name not in before
    ]
    return [*own, *new]


def _left(candidate: Candidate, goal: Goal) -> list[str]:
    """Return that a change does not reach the goal, and what it leaves; nothing where it does."""
    language = matchers.LANGUAGES.get(candidate.request.language, "")
    target = goal.target
    after = {name: m for name, _, m in measures_in(candidate.files[0].result.after, language)}
    value = after.get(target.function or "", {}).get(target.measure)
    if value is None or target.holds(value):
        return []
    return [f"it does not reach the goal, {target.description}: {value:g} is left"]


def _generators_to_call(engine: Engine, goal: Goal, step: dict[str, Any]) -> list[str]:
    """Return the generators to call in this round, of those that are left for the step."""
    strategy = sparc_strategies.named(goal.strategy)
    order = strategy.order
    left: list[str] = [name for name in step["left"] if name in strategy.generators] or step["left"]
    if order == "all":
        return left
    by_name = generators()
    if order == "cheapest":
        return [min(left, key=lambda name: (by_name[name].cost, name))]
    with engine.connect() as connection:
        estimate = candidate_records.acceptance_estimates(connection)
    return [max(left, key=lambda name: (estimate(step["rule"], name, 0.5), name))]


def _restricted_to(names: list[str]) -> Callable[[Rule], frozenset[str]]:
    return lambda rule: frozenset(names)


def _rejections(goal: Goal) -> list[str]:
    """Return lines on reason earlier rounds were rejected."""
    rejected = [phase for phase in goal.earlier if phase.verdict == "rejected"]
    return (
        [*[f"Round {phase.round}, {phase.phase}: {phase.reason}" for phase in rejected], ""]
        if rejected
        else []
    )


def completion(engine: Engine, goal: Goal) -> PhaseResult:
    """Suggest the chosen candidate; then a person decides, and the edit is verified."""
    chosen = goal.last(CHANGES).get("chosen")
    if chosen is None:
        reason = "no candidate passed the gates"
        return PhaseResult(f"# Not suggested\n\n{reason}.", {}, AUTHOR, Gate("gates", "rejected", reason))
    with engine.begin() as connection:
        existing = connection.scalar(
            select(suggestions.c.id).where(suggestions.c.candidate_id == UUID(chosen))
        )
        # A worker that was killed after suggesting finds its suggestion.
        suggestion = existing or self_improvement.suggest(
            connection, single.restore(connection, UUID(chosen))
        )
        row = self_improvement.show(connection, suggestion) if suggestion is not None else None
    if row is None:
        reason = "the same change was suggested before, or exceeds the limits of its agent"
        return PhaseResult(f"# Not suggested\n\n{reason}.", {}, AUTHOR, Gate("policy", "rejected", reason))
    lines = [
        f"# Suggested: {row['title']}",
        "",
        f"- suggestion `{row['id']}`, branch `{row['branch']}`",
        f"- approval `{row['approval']}`: a person decides",
        f"- risk {row['risk']}, {row['lines']} lines",
        *[f"- {change}" for change in goal.last(CHANGES).get("measured", ())],
        *([f"- behaviour: {stays}"] if (stays := goal.last(CHANGES).get("characterisation")) else []),
    ]
    rejected = _rejections(goal)
    lines += (
        ["", "What earlier rounds showed:", "", *[f"- {line}" for line in rejected if line]]
        if rejected
        else []
    )
    data = {"suggestion": str(row["id"]), "approval": str(row["approval"]), "branch": row["branch"]}
    return PhaseResult("\n".join(lines), data, AUTHOR, Gate("arbiter", "waiting", "a person decides"))


# Suggestions, and those that were made instead of them because the target had moved.
_WITH_SUCCESSORS = """
WITH RECURSIVE latest AS (
    {first} UNION ALL SELECT n.id FROM suggestions n JOIN latest l ON n.replaces = l.id
)
"""
_OUTCOME = text(f"""
{_WITH_SUCCESSORS.format(first="SELECT CAST(:id AS uuid) AS id")}
SELECT w.status, e.outcome, e.end_reason, e.commit_oid, s.branch, a.status AS approval,
       (SELECT string_agg(d.comment, '; ') FROM approval_decisions d WHERE d.approval_id = s.approval_id) AS comments
FROM suggestions s JOIN workflows w ON w.id = s.id LEFT JOIN edits e ON e.id = s.id
LEFT JOIN workflows a ON a.id = s.approval_id JOIN latest l ON l.id = s.id ORDER BY s.id DESC LIMIT 1
""")


def check_completion(connection: Connection, goal: Goal, data: dict[str, Any]) -> Gate | None:
    """Return the gate of a waiting completion: accepted (verified), rejected, or None while undecided."""
    row = connection.execute(_OUTCOME, {"id": UUID(data["suggestion"])}).one_or_none()
    if row is None:
        return Gate("arbiter", "rejected", f"suggestion {data['suggestion']} no longer exists")
    if row.status in DECLINED:
        reason = row.end_reason or row.comments or ""
        return Gate(
            "arbiter", "rejected", f"the suggestion was {row.status}{': ' if reason else ''}{reason}", STEPS
        )
    if row.status == "expired":
        return Gate("arbiter", "rejected", "nobody decided in time")
    if row.status not in ACCEPTED:
        return None
    after = (row.outcome or {}).get("after", {})
    verified = f"{row.branch} ({row.commit_oid[:10]}) is {row.status}"
    value = after.get({"cognitive": "cognitive", "code_lines": "code_lines"}.get(goal.target.measure, ""))
    of_file = goal.target.kind == "measure" and goal.target.function is None
    if of_file and value is not None and not goal.target.holds(float(value)):
        return Gate(
            "facts", "rejected", f"{verified}, but leaves it at {value}: {goal.target.description}", STEPS
        )
    return Gate("facts", "accepted", f"{verified}; the target is measured when it is merged")


def decided(connection: Connection) -> bool:
    """Return whether the suggestion of a waiting completion has ended."""
    waiting = f"""
        SELECT CAST(p.data ->> 'suggestion' AS uuid) AS id FROM workflows w JOIN sparc_phases p ON p.id = w.id
        WHERE w.type = '{WorkflowTypeName.SPARC_PHASE}' AND w.status = 'waiting'
    """
    query = text(f"""
        {_WITH_SUCCESSORS.format(first=waiting)}
        SELECT EXISTS (
            SELECT FROM latest l JOIN workflows s ON s.id = l.id
            WHERE s.status = ANY(:ended) AND NOT EXISTS (SELECT FROM suggestions n WHERE n.replaces = l.id))
    """)
    return bool(connection.scalar(query, {"ended": [*ACCEPTED, "expired", *DECLINED]}))


MAKERS: dict[str, Maker] = {
    "specification": sparc_drafts.drafted(PHASES[0], sparc_phases.specification),
    "pseudocode": sparc_drafts.drafted(STEPS, sparc_steps.pseudocode),
    "architecture": sparc_phases.architecture,
    "refinement": sparc_drafts.kept(refinement),
    "completion": completion,
}
