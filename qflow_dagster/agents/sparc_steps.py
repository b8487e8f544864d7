"""The steps of a goal: which findings are to be fixed, what exists already, who can do a step, and why others cannot.

Belongs here: the phase pseudocode and its gate. Does not belong here: what the steps affect (`sparc_phases`), doing
them (`sparc_changes`).
"""

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import builtin_agents
from qflow_dagster.agents.sparc_phases import AUTHOR, findings_of
from qflow_dagster.agents.suggestion_states import OPEN_STATES
from qflow_dagster.evolution import goal_rules, matchers, rule_set
from qflow_dagster.execution import sparc, work_items
from qflow_dagster.execution.sparc import Gate, Goal, PhaseResult
from qflow_dagster.generation.generators import FIX_ONLY, generators
from qflow_dagster.generation.remaining import reducible_bound
from qflow_dagster.infrastructure import language_model
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.metrics import queries as metrics


def pseudocode(engine: Engine, goal: Goal) -> PhaseResult:
    """List the edit steps in order: for each rule's findings, who can fix them, and what is left for a person."""
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, goal.repository)
        finding_rows = findings_of(connection, snapshot, goal)
        found = {row["rule"] for row in finding_rows}
        items = [item for item in _items(connection, snapshot, goal) if item["rule"] in found]
        own = _of_own_bound(connection, snapshot, goal)
        choose = builtin_agents.chooser(connection)
        worst = _worst(connection, snapshot, goal)
        rules = rule_set.by_id(rule_set.current(connection))
        items = [*own, *items]
        existing = _existing(connection, [item["id"] for item in items])
    language = matchers.rule_language(goal.language)
    steps: list[dict[str, Any]] = []
    for item in items:
        rule = goal_rules.of_id(item["rule"] or "") or rules.get(item["rule"])
        if rule is None:
            continue
        why_not = {
            name: reason
            for name, generator in generators().items()
            if (reason := _why_not(name, generator.fits(rule, language), name in choose(rule), language))
        }
        able = [name for name in generators() if name not in why_not]
        left = [name for name in able if [str(item["id"]), name] not in _tried(goal)]
        change = existing.get(item["id"])
        if change is None and item["state"] == "in_progress" and item["id"] != goal.work_item_id:
            # Somebody has claimed it, and no change of ours: it is theirs.
            able, left = [], []
            why_not["all"] = f"work item {str(item['id'])[:18]} is in progress elsewhere"
        elif change is not None and [str(item["id"]), change["suggestion"]] not in _tried(goal):
            left = list(change["sources"])
        else:
            change = None
        if item.get("beyond"):
            able, left = [], []
            why_not["all"] = item["beyond"]
        lines = item.get("lines") or [row["line"] for row in finding_rows if row["rule"] == rule.id]
        steps.append(
            {
                "work_item": str(item["id"]),
                "rule": rule.id,
                "what": rule.title,
                "lines": lines,
                "functions": item.get("functions") or _functions(finding_rows, rule.id),
                "bound": reducible_bound(rule),
                "able": able,
                "left": left,
                "why_not": why_not,
                # A change of it that waits for a decision, or to be verified or merged.
                "existing": change,
            }
        )
    # Steps that no agent can do come last, and a change that exists before a new one.
    # Of a complexity, the rule with the lowest bound comes first: it brings the measure down furthest.
    steps.sort(
        key=lambda step: (
            not step["left"],
            step["existing"] is None,
            step["bound"][1] if step["bound"] and step["bound"][0] == goal.target.measure else math.inf,
        )
    )
    doable = [step for step in steps if step["left"]]
    lines = [f"# Steps towards: {goal.target.description}", ""]
    for number, step in enumerate(steps, 1):
        who = ", ".join(step["left"]) or ("all capable agents have tried" if step["able"] else "a person")
        at = f" at lines {', '.join(map(str, step['lines'][:20]))}" if step["lines"] else ""
        names = ", ".join(f"`{name}`" for name in step["functions"][:10])
        within = f" in {names}" if names else ""
        lines.append(f"{number}. {step['what']} (`{step['rule']}`){within}{at}: {who}")
        if step["existing"]:
            lines.append(f"    - exists already: {_described(step['existing'])}")
        lines += [f"    - not {name}: {reason}" for name, reason in step["why_not"].items()]
    if worst:
        lines += ["", "For a person, the most complex functions:", ""]
        lines += [
            f"- `{row['function']}`, line {row['line']}: cognitive {row['cognitive']}, cyclomatic "
            f"{row['cyclomatic']}, nesting {row['nesting']}"
            for row in worst
        ]
    waiting = [_described(step["existing"]) for step in doable if step["existing"]]
    if doable:
        names = sorted({name for step in doable for name in step["left"]})
        count = f"{len(doable)} step{'s' * (len(doable) > 1)} can be done, by {', '.join(names)}"
        gate = Gate("router", "accepted", "; ".join([count, *waiting]))
    elif any(step["able"] for step in steps):
        gate = Gate("router", "rejected", f"every agent that could do a step has tried: {_attempts(goal)}")
    else:
        gate = Gate("router", "rejected", _nobody(goal, steps))
    return PhaseResult("\n".join(lines), {"commit": snapshot.commit_oid, "steps": steps}, AUTHOR, gate)


def _why_not(name: str, fits: bool, chosen: bool, language: str) -> str:
    """Return why a generator cannot do a step; '' if it can."""
    if fits:
        return "" if chosen else "the router leaves it out: offline, or its record is too bad"
    if name in FIX_ONLY:
        return "the rule has no fix of its kind"
    if name == "language-model" and not language_model.configured():
        return "no model is configured (QFLOW_MODEL_URL, QFLOW_MODEL_NAME)"
    return f"it does not do this rule in {language or 'a file of this language'}"


def _nobody(goal: Goal, steps: Sequence[dict[str, Any]]) -> str:
    """Return why no step can be done: each generator and agent, and its reason."""
    if not steps:
        return (
            f"no step can be done: no rule that {goal.target.description} depends on has a finding in "
            f"{goal.target.path or 'its file'}, and changes are made of findings"
        )
    reasons: dict[str, None] = {}
    for step in steps:
        reasons |= {f"{name}: {reason}": None for name, reason in step["why_not"].items()}
    return f"no step can be done. {'; '.join(reasons)}"


def _attempts(goal: Goal) -> str:
    """Return what earlier rounds called, and why nothing came of it."""
    found = [
        f"round {phase.round}, {phase.reason}"
        for phase in goal.earlier
        if phase.verdict == "rejected" and phase.phase in ("refinement", "completion")
    ]
    return "; ".join(found) or "see the earlier rounds"


_EXISTING = text("""
SELECT DISTINCT ON (item) item, s.id AS suggestion, s.candidate_id AS candidate, s.approval_id AS approval, s.sources,
       s.branch, w.status AS state
FROM suggestions s JOIN workflows w ON w.id = s.id CROSS JOIN LATERAL unnest(s.work_items) AS item
WHERE item = ANY(:items) AND w.status = ANY(:states) ORDER BY item, s.id DESC
""")
_LIVING = [*OPEN_STATES, "applied", "verified", "conflicting"]


def _existing(connection: Connection, items: Sequence[Any]) -> dict[Any, dict[str, Any]]:
    """Return the change that exists for each item: it waits for a decision, for verification, or to be merged."""
    rows = connection.execute(_EXISTING, {"items": list(items), "states": _LIVING}).mappings()
    return {
        row["item"]: {
            "suggestion": str(row["suggestion"]),
            "candidate": str(row["candidate"]),
            "approval": str(row["approval"]),
            "sources": list(row["sources"]),
            "branch": row["branch"],
            "state": row["state"],
        }
        for row in rows
    }


def _described(change: dict[str, Any]) -> str:
    by = ", ".join(change["sources"])
    if change["state"] in OPEN_STATES:
        return f"a change by {by} waits for approval {change['approval'][:18]}"
    return f"a change by {by} is {change['state']} on branch {change['branch']}"


_ITEMS = text("""
SELECT i.id, i.rule_id AS rule, w.status AS state FROM work_items i JOIN workflows w ON w.id = i.id
WHERE i.repository_id = :id AND i.level = 'story' AND i.source = 'findings'
  AND (i.id = :item OR i.parent_id = :item OR (
       CAST(:item AS uuid) IS NULL AND i.path = :path AND w.status <> 'cancelled'))
  AND EXISTS (SELECT FROM findings g WHERE g.repository_id = i.repository_id AND g.rule_id = i.rule_id
              AND g.path = i.path AND g.state IN ('open', 'reopened'))
ORDER BY i.wsjf DESC NULLS LAST, i.id LIMIT 50
""")


def _items(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    """Return the goal's own story or those of its feature, or those of its file; the highest WSJF first."""
    values = {"id": snapshot.repository_id, "item": goal.work_item_id, "path": goal.target.path}
    rows = [dict(row) for row in connection.execute(_ITEMS, values).mappings()]
    if goal.target.measure == "findings" or goal.target.kind != "measure":
        return rows
    # Rules of this category lower the complexity; other findings of the file are other work.
    complexity_measures = {"cognitive", "cyclomatic", "nesting", "maintainability"}
    rules = [
        rule.id
        for rule in rule_set.current(connection)
        if goal.target.measure in complexity_measures and rule.category == "maintainability"
    ]
    return [row for row in rows if row["rule"] in rules or goal.target.measure == "code_lines"]


def _of_own_bound(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    """Return the story of the goal's own bound, which needs no rule that reports its function or file."""
    target = goal.target
    if target.measure == "coverage":
        item = work_items.show(connection, UUID(str(target.work_item)))
        columns = ("id", "rule", "state")
        return [{**{name: item[name] for name in columns}, "lines": [1], "functions": []}]
    rule = (
        goal_rules.of_bound(target.measure, target.operator, target.value)
        if target.kind == "measure" and (target.function or target.measure in goal_rules.FILE_MEASURES)
        else None
    )
    if rule is None:
        return []
    rows = metrics.file_metrics(connection, snapshot.repository_id, target.path)["functions"]
    lines = [row["line"] for row in rows if row["function"] == target.function]
    story = work_items.NewItem(
        level="story",
        key=sparc.story_key(goal.id),
        title=target.description,
        acceptance=[target.description],
        source="plan",
        repository_id=snapshot.repository_id,
        rule_id=rule.id,
        path=target.path,
    )
    [id_] = work_items.create(connection, [story], actor=AUTHOR)
    state = work_items.show(connection, id_)["state"]
    return [
        {
            "id": id_,
            "rule": rule.id,
            "state": state,
            "lines": lines,
            "functions": [target.function] if target.function else [],
            "beyond": _beyond(connection, snapshot, goal),
        }
    ]


def _beyond(connection: Connection, snapshot: Snapshot, goal: Goal) -> str:
    """Return why no change of the goal's file reaches its bound; '' if one may."""
    target = goal.target
    if target.measure != "duplicated_lines":
        return ""
    lines = metrics.copied_elsewhere(connection, snapshot.id, target.path)
    left = len(set().union(*lines.values()))
    if target.holds(left):
        return ""
    others = sorted(lines, key=lambda path: (-len(lines[path]), path))
    named = f"{', '.join(others[:5])}{' and others' if len(others) > 5 else ''}"
    return f"{left} of its lines are in {named} too, and a change of one file does not remove these"


def _functions(finding_rows: Sequence[dict[str, Any]], rule: str) -> list[str]:
    """Return the functions that the findings of a rule are in, without what Markdown would read otherwise."""
    names = (row["symbol"] for row in finding_rows if row["rule"] == rule and row["symbol"])
    return list(dict.fromkeys(name.replace("`", " ") for name in names))


def _tried(goal: Goal) -> list[list[str]]:
    """Return the [work item, generator] pairs of earlier rounds."""
    return [
        pair for phase in goal.earlier if phase.phase == "refinement" for pair in phase.data.get("tried", [])
    ]


def _worst(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    if goal.target.kind != "measure" or goal.target.measure not in ("cognitive", "cyclomatic", "nesting"):
        return []
    rows = metrics.file_metrics(connection, snapshot.repository_id, goal.target.path)["functions"]
    return [row for row in rows if goal.target.function in (None, row["function"])][:5]
