"""The last two phases of a goal: candidates put to the gates, and the suggestion followed to its verified outcome.

Belongs here: refinement, completion, and what a waiting completion is judged by. Does not belong here:
the phases before (`sparc_phases`), suggestions themselves (`self_improvement`).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import builtin_agents, self_improvement, sparc_phases
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import sparc_strategies
from qflow_dagster.execution.sparc import PHASES, Gate, Goal, Made, Maker
from qflow_dagster.generation import candidate_records, single
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.generators import generators
from qflow_dagster.registry import WorkflowTypeName

AUTHOR = self_improvement.ACTOR
STEPS, CHANGES = PHASES[1], PHASES[3]
DECLINED = ("rejected", "reverted", "failed", "superseded")


def refinement(engine: Engine, goal: Goal) -> Made:
    """The next step's candidates and their gates, by the agents that the strategy names for this round."""
    step = next((step for step in goal.last(STEPS)["steps"] if step["left"]), None)
    if step is None:
        why = "no step is left that an agent could do"
        return Made(f"# Round {goal.round}\n\n{why}.", {}, AUTHOR, Gate("gates", "rejected", why))
    item = UUID(step["work_item"])
    asked = _asked(engine, goal, step)
    tried = single.try_item(engine, item, _only(asked))
    with engine.begin() as connection:
        builtin_agents.record_outcomes(connection)
    rows = [
        {
            "id": str(one.id),
            "by": one.sources,
            "lines": one.patch.lines,
            "status": one.status,
            "gates": {gate.name: f"{gate.verdict}: {gate.evidence[:200]}" for gate in one.gates},
        }
        for one in tried.candidates
    ]
    best = tried.best
    lost = sorted(set(goal.last(PHASES[0])["names"]) - _names(best)) if best else []
    data: dict[str, Any] = {
        "work_item": step["work_item"],
        "rule": step["rule"],
        "tried": [[step["work_item"], name] for name in asked],
        "candidates": rows,
        "chosen": best and str(best.id),
        "patch": best and best.patch.text,
        "lost_names": lost,
        "problems": [f"{one.ask.generator}: {one.problem}" for one in tried.attempts if one.problem],
    }
    cost = sum(float(one.usage.get("cost", 0.0)) for one in tried.attempts)
    lines = [f"# Round {goal.round}: {step['what']}", "", f"Asked: {', '.join(asked)}.", ""]
    lines += _changed(goal)
    for row in rows:
        lines.append(f"- {', '.join(row['by'])}, {row['lines']} lines, {row['status']}")
        lines += [f"    - {name}: {words}" for name, words in row["gates"].items()]
    lines += [f"- {problem}" for problem in data["problems"]]
    if best is None:
        failed = sorted(
            {name for row in rows for name, words in row["gates"].items() if words.startswith("failed")}
        )
        why = f"no candidate passed: {', '.join(failed)}" if rows else "nothing was proposed"
        gate = Gate("gates", "rejected", f"{', '.join(asked)}: {why}", STEPS)
    elif lost:
        gate = Gate(
            "facts", "rejected", f"{', '.join(asked)}: public names would go: {', '.join(lost[:10])}", STEPS
        )
    else:
        lines += ["", "```diff", best.patch.text.rstrip("\n").replace("```", "` ` `"), "```"]
        gate = Gate(
            "gates", "accepted", f"{', '.join(best.sources)}: {best.patch.lines} lines pass every gate"
        )
    return Made("\n".join(lines), data, best.sources[0] if best else asked[0], gate, cost)


def _names(candidate: Candidate) -> set[str]:
    """The names that the goal's file defines after the change."""
    # Imported late: commands that only show things need no parsers.
    from qflow_dagster.ingestion.extraction import extract

    path = candidate.request.path
    facts = extract(candidate.after[path].encode(), matchers.LANGUAGES.get(candidate.request.language, ""))
    return {symbol.qualified_name for symbol in facts.symbols}


def _asked(engine: Engine, goal: Goal, step: dict[str, Any]) -> list[str]:
    """Who is asked in this round, of those who are left for the step."""
    left: list[str] = step["left"]
    how = sparc_strategies.named(goal.strategy).ask
    if how == "all":
        return left
    known = generators()
    if how == "cheapest":
        return [min(left, key=lambda name: (known[name].cost, name))]
    with engine.connect() as connection:
        belief = candidate_records.beliefs(connection)
    return [max(left, key=lambda name: (belief(step["rule"], name, 0.5), name))]


def _only(names: list[str]) -> Callable[[Rule], frozenset[str]]:
    return lambda rule: frozenset(names)


def _changed(goal: Goal) -> list[str]:
    """What the rounds before came to, and so what this one does otherwise."""
    before = [one for one in goal.earlier if one.verdict == "rejected"]
    return [*[f"Round {one.round}, {one.phase}: {one.reason}" for one in before], ""] if before else []


def completion(engine: Engine, goal: Goal) -> Made:
    """The suggestion: from here on a person decides, and the edit is verified."""
    chosen = goal.last(CHANGES).get("chosen")
    if chosen is None:
        why = "no candidate passed the gates"
        return Made(f"# Not suggested\n\n{why}.", {}, AUTHOR, Gate("gates", "rejected", why))
    with engine.begin() as connection:
        there = connection.scalar(
            text("SELECT id FROM suggestions WHERE candidate_id = :id"), {"id": UUID(chosen)}
        )
        # A worker that was killed after suggesting finds what it suggested.
        suggestion = there or self_improvement.suggest(connection, single.restore(connection, UUID(chosen)))
        shown = self_improvement.show(connection, suggestion) if suggestion is not None else None
    if shown is None:
        words = "the same change was suggested before, or reaches further than its agent may"
        return Made(f"# Not suggested\n\n{words}.", {}, AUTHOR, Gate("policy", "rejected", words))
    lines = [
        f"# Suggested: {shown['title']}",
        "",
        f"- suggestion `{shown['id']}`, branch `{shown['branch']}`",
        f"- approval `{shown['approval']}`: a person decides",
        f"- risk {shown['risk']}, {shown['lines']} lines",
    ]
    data = {"suggestion": str(shown["id"]), "approval": str(shown["approval"]), "branch": shown["branch"]}
    return Made("\n".join(lines), data, AUTHOR, Gate("arbiter", "waiting", "a person decides"))


_OUTCOME = text("""
SELECT w.status, e.outcome, e.commit_oid, s.branch, a.status AS approval,
       (SELECT string_agg(d.comment, '; ') FROM approval_decisions d WHERE d.approval_id = s.approval_id) AS comments
FROM suggestions s JOIN workflows w ON w.id = s.id LEFT JOIN edits e ON e.id = s.id
LEFT JOIN workflows a ON a.id = s.approval_id WHERE s.id = :id
""")


def judge(connection: Connection, goal: Goal, data: dict[str, Any]) -> Gate | None:
    """What became of the suggestion: verified, declined (then others are tried), or nothing yet."""
    row = connection.execute(_OUTCOME, {"id": UUID(data["suggestion"])}).one_or_none()
    if row is None:
        return Gate("arbiter", "rejected", f"suggestion {data['suggestion']} is not there any more")
    if row.status in DECLINED:
        why = row.comments or (row.outcome or {}).get("reverted") or ""
        return Gate(
            "arbiter", "rejected", f"the suggestion was {row.status}{': ' if why else ''}{why}", STEPS
        )
    if row.status == "expired":
        return Gate("arbiter", "rejected", "nobody decided in time")
    if row.status != "verified":
        return None
    after = (row.outcome or {}).get("after", {})
    words = f"{row.branch} ({row.commit_oid[:10]}) is verified"
    value = after.get({"cognitive": "cognitive", "code_lines": "code_lines"}.get(goal.target.measure, ""))
    of_file = goal.target.kind == "measure" and goal.target.function is None
    if of_file and value is not None and not goal.target.holds(float(value)):
        return Gate("facts", "rejected", f"{words}, but leaves it at {value}: {goal.target.words}", STEPS)
    return Gate("facts", "accepted", f"{words}; the target is measured when it is merged")


def decided(connection: Connection) -> bool:
    """Whether the suggestion of a waiting completion has come to an end."""
    query = text(f"""
        SELECT EXISTS (
            SELECT FROM workflows w JOIN sparc_phases p ON p.id = w.id
            JOIN workflows s ON s.id = CAST(p.data ->> 'suggestion' AS uuid)
            WHERE w.type = '{WorkflowTypeName.SPARC_PHASE}' AND w.status = 'waiting' AND s.status = ANY(:ended))
    """)
    return bool(connection.scalar(query, {"ended": ["verified", "expired", *DECLINED]}))


MAKERS: dict[str, Maker] = {
    "specification": sparc_phases.specification,
    "pseudocode": sparc_phases.pseudocode,
    "architecture": sparc_phases.architecture,
    "refinement": refinement,
    "completion": completion,
}
