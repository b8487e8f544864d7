"""The first three phases of a goal, from facts: what is wanted, the steps, and what they touch.

Belongs here: specification, pseudocode, architecture, and their gates. Does not belong here: changes
(`sparc_changes`), the order of phases and rounds (`execution.sparc`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import builtin_agents
from qflow_dagster.evolution import findings, matchers, rule_set
from qflow_dagster.execution import sparc_strategies, sparc_targets
from qflow_dagster.execution.sparc import Gate, Goal, Made
from qflow_dagster.generation.generators import generators
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, current_snapshot
from qflow_dagster.knowledge import lookups
from qflow_dagster.metrics import queries as metrics

AUTHOR = builtin_agents.PLANNER
MAX_ROWS = 40
RISKS = ("low", "medium", "high")


def specification(engine: Engine, goal: Goal) -> Made:
    """The findings, acceptance criteria as checks that can be run, and what must not change."""
    path = goal.target.path
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, goal.repository)
        found = _findings(connection, snapshot, goal)
        value = sparc_targets.measure(connection, snapshot, goal.target)
        within = [place.name for place in lookups.within(connection, snapshot, path)]
        names = list(dict.fromkeys(name for name in within if _public(name)))
        tests = _tests(connection, snapshot, path)
        rationale = {rule.id: rule.rationale for rule in rule_set.current(connection)}
    checks = [
        {"check": "target", "words": goal.target.words, "now": value, "holds": goal.target.holds(value)},
        {"check": "tests", "words": "the repository's own tests pass as before", "now": None, "holds": None},
        {
            "check": "symbols",
            "words": f"the {len(names)} public names of {path} stay",
            "now": len(names),
            "holds": True,
        },
    ]
    data = {
        "commit": snapshot.commit_oid,
        "findings": found,
        "checks": checks,
        "names": names,
        "tests": tests,
    }
    lines = [
        f"# {goal.title}",
        "",
        f"Target: **{goal.target.words}**; now {_number(value)} at {snapshot.commit_oid[:10]}.",
        "",
        "## What was found",
        "",
        *[f"- `{path}:{row['line']}` {row['rule']}: {row['message']}" for row in found[:MAX_ROWS]],
        *([] if found else ["Nothing by rules; the measure speaks."]),
        *[
            f"\nWhy: {rationale[rule]}"
            for rule in sorted({row["rule"] for row in found})
            if rule in rationale
        ][:5],
        "",
        "## It is done when",
        "",
        *[f"- {check['words']}" for check in checks],
        "",
        "## What must not change",
        "",
        f"- public names: {_code(names[:MAX_ROWS]) or 'none'}",
        f"- tests that reach it: {_code(tests[:10]) or 'none is known'}",
    ]
    if goal.target.holds(value):
        gate = Gate("facts", "met", f"{goal.target.words}: it is {_number(value)} already")
    elif value is None:
        gate = Gate("facts", "rejected", f"{path or goal.target.words} is not there to be measured")
    else:
        gate = Gate("facts", "accepted", f"it can be measured, and is {_number(value)} now")
    return Made("\n".join(lines), data, AUTHOR, gate)


def pseudocode(engine: Engine, goal: Goal) -> Made:
    """The edit steps in order: for each rule's findings, who can mend them; and what is left for a person."""
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, goal.repository)
        found = _findings(connection, snapshot, goal)
        items = _items(connection, snapshot, goal)
        choose = builtin_agents.chooser(connection)
        worst = _worst(connection, snapshot, goal)
        rules = rule_set.by_id(rule_set.current(connection))
    language = matchers.named(goal.language)
    steps: list[dict[str, Any]] = []
    for item in items:
        rule = rules.get(item["rule"])
        if rule is None:
            continue
        able = [
            name for name, one in generators().items() if one.fits(rule, language) and name in choose(rule)
        ]
        left = [name for name in able if [str(item["id"]), name] not in _tried(goal)]
        lines = [row["line"] for row in found if row["rule"] == rule.id]
        steps.append(
            {
                "work_item": str(item["id"]),
                "rule": rule.id,
                "what": rule.title,
                "lines": lines,
                "able": able,
                "left": left,
            }
        )
    # What nobody can do is told last.
    steps.sort(key=lambda step: not step["left"])
    doable = [step for step in steps if step["left"]]
    lines = [f"# Steps towards: {goal.target.words}", ""]
    for number, step in enumerate(steps, 1):
        who = ", ".join(step["left"]) or ("all who could have tried" if step["able"] else "a person")
        at = f" at lines {', '.join(map(str, step['lines'][:20]))}" if step["lines"] else ""
        lines.append(f"{number}. {step['what']} (`{step['rule']}`){at}: {who}")
    if worst:
        lines += ["", "For a person, the functions that weigh most:", ""]
        lines += [
            f"- `{row['function']}`, line {row['line']}: cognitive {row['cognitive']}, cyclomatic "
            f"{row['cyclomatic']}, nesting {row['nesting']}"
            for row in worst
        ]
    if doable:
        names = sorted({name for step in doable for name in step["left"]})
        gate = Gate(
            "router",
            "accepted",
            f"{len(doable)} step{'s' * (len(doable) > 1)} can be done, by {', '.join(names)}",
        )
    elif any(step["able"] for step in steps):
        gate = Gate("router", "rejected", "every agent that could do a step has tried")
    else:
        gate = Gate("router", "rejected", "no rule, codemod or model can do a step of it")
    return Made("\n".join(lines), {"commit": snapshot.commit_oid, "steps": steps}, AUTHOR, gate)


def architecture(engine: Engine, goal: Goal) -> Made:
    """What the steps touch: symbols, the cone of dependents, coupled files, owners; and the risk of it."""
    path = goal.target.path
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, goal.repository)
        lines = sorted({line for step in goal.last("pseudocode")["steps"] for line in step["lines"]})
        symbols = _symbols_at(connection, snapshot, path, lines)
        cone = _cone(connection, snapshot, path)
        measured = metrics.file_metrics(connection, snapshot.repository_id, path)
        owners = [
            {"author": row.author_name, "commits": row.commits}
            for row in lookups.authors(connection, snapshot, path)
        ]
        tests = _tests(connection, snapshot, path)
    coupled = [{"path": row["path"], "degree": row["degree"]} for row in measured["coupled_files"][:10]]
    reasons = risks(len(cone), tests, measured.get("hotspot"), owners)
    risk = RISKS[(len(reasons) > 0) + (len(reasons) > 2)]
    bound = sparc_strategies.named(goal.strategy).largest_risk
    data = {
        "commit": snapshot.commit_oid,
        "files": [path],
        "symbols": symbols,
        "cone": cone,
        "coupled": coupled,
        "owners": owners,
        "tests": tests,
        "risk": risk,
        "reasons": reasons,
    }
    shown = [
        f"# What it touches: {path}",
        "",
        f"Risk: **{risk}**" + (f" ({'; '.join(reasons)})" if reasons else ""),
        "",
        f"- symbols: {_code(symbols[:MAX_ROWS]) or 'the file'}",
        f"- files that depend on it, within three steps: {len(cone)}"
        + (f" ({_code(cone[:10])}{' ...' if len(cone) > 10 else ''})" if cone else ""),
        f"- changes together with: {_code(row['path'] for row in coupled) or 'nothing'}",
        f"- known best to: {', '.join(row['author'] for row in owners[:3]) or 'nobody'}",
        f"- tests that reach it: {_code(tests[:10]) or 'none is known'}",
    ]
    if RISKS.index(risk) > RISKS.index(bound):
        words = (
            f"the risk is {risk}, the strategy {goal.strategy} takes at most {bound}: {'; '.join(reasons)}"
        )
        gate = Gate("policy", "rejected", words)
    else:
        gate = Gate("policy", "accepted", f"the risk is {risk}, at most {bound} is taken")
    return Made("\n".join(shown), data, AUTHOR, gate)


def risks(cone: int, tests: Sequence[str], hotspot: Any, owners: Sequence[Any]) -> list[str]:
    """What makes a change of a file risky. None: low; one or two: medium; more: high."""
    found = []
    if cone > 50:
        found.append(f"{cone} files depend on it")
    if not tests:
        found.append("no test is known to reach it")
    if hotspot and hotspot["rank"] <= 10:
        found.append(f"it is hotspot {hotspot['rank']}")
    if len(owners) == 1:
        found.append(f"only {owners[0]['author']} ever changed it")
    return found


def _findings(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    """Of the goal's rule, or all of its file."""
    if not goal.target.path:
        return []
    rule = goal.target.measure if goal.target.kind == "rule" else None
    rows = findings.find(connection, snapshot.repository_id, rule=rule, path=goal.target.path, limit=1_000)
    shown = ("rule", "line", "symbol", "message", "fixable")
    return [{name: row[name] for name in shown} for row in rows if row["path"] == goal.target.path]


_ITEMS = text("""
SELECT i.id, i.rule_id AS rule FROM work_items i JOIN workflows w ON w.id = i.id
WHERE i.repository_id = :id AND i.level = 'feature' AND i.source = 'findings'
  AND (i.id = :item OR (CAST(:item AS uuid) IS NULL AND i.path = :path AND w.status = 'backlog'))
  AND EXISTS (SELECT FROM findings g WHERE g.repository_id = i.repository_id AND g.rule_id = i.rule_id
              AND g.path = i.path AND g.state IN ('open', 'reopened'))
ORDER BY i.wsjf DESC NULLS LAST, i.id LIMIT 50
""")


def _items(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    """The goal's own work item, or those of its file that nobody is at; the highest WSJF first."""
    values = {"id": snapshot.repository_id, "item": goal.work_item_id, "path": goal.target.path}
    rows = [dict(row) for row in connection.execute(_ITEMS, values).mappings()]
    if goal.target.measure == "findings" or goal.target.kind != "measure":
        return rows
    # What mends a complexity is of this category; the rest of the file's findings is other work.
    about = {"cognitive", "cyclomatic", "nesting", "maintainability"}
    wanted = [
        rule.id
        for rule in rule_set.current(connection)
        if goal.target.measure in about and rule.category == "maintainability"
    ]
    return [row for row in rows if row["rule"] in wanted or goal.target.measure == "code_lines"]


def _tried(goal: Goal) -> list[list[str]]:
    """[work item, generator] pairs of earlier rounds."""
    return [pair for one in goal.earlier if one.phase == "refinement" for pair in one.data.get("tried", [])]


def _worst(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    if goal.target.kind != "measure" or goal.target.measure not in ("cognitive", "cyclomatic", "nesting"):
        return []
    rows = metrics.file_metrics(connection, snapshot.repository_id, goal.target.path)["functions"]
    return [row for row in rows if goal.target.function in (None, row["function"])][:5]


_SYMBOLS_AT = text(f"""
SELECT DISTINCT ON (line) s.qualified_name FROM unnest(CAST(:lines AS int[])) AS line
JOIN files f ON {IN_SNAPSHOT} AND f.path = :path
JOIN symbols s ON s.blob_id = f.blob_id AND s.seq > 0 AND line BETWEEN s.start_line AND s.end_line
ORDER BY line, s.end_line - s.start_line
""")


def _symbols_at(connection: Connection, snapshot: Snapshot, path: str, lines: Sequence[int]) -> list[str]:
    """The innermost symbols around these lines."""
    rows = connection.scalars(_SYMBOLS_AT, {**snapshot.interval, "path": path, "lines": list(lines)})
    return list(dict.fromkeys(rows))


_CONE = text(f"""
WITH RECURSIVE cone(path, depth) AS (
    SELECT CAST(:path AS text), 0
    UNION
    SELECT f.source_path, cone.depth + 1 FROM cone JOIN dependencies f ON f.target_path = cone.path
    WHERE {IN_SNAPSHOT} AND cone.depth < 3
)
SELECT path FROM cone WHERE path <> :path GROUP BY path ORDER BY min(depth), path LIMIT 1000
""")


def _cone(connection: Connection, snapshot: Snapshot, path: str) -> list[str]:
    return list(connection.scalars(_CONE, {**snapshot.interval, "path": path}))


def _tests(connection: Connection, snapshot: Snapshot, path: str) -> list[str]:
    rows = lookups.dependents(connection, snapshot, path)
    return [row.path for row in rows if lookups.is_test(connection, snapshot, row.path)]


def _code(names: Iterable[str]) -> str:
    """Names from outside as Markdown that is shown as it is."""
    return ", ".join(f"`{name.replace('`', ' ')}`" for name in names)


def _public(name: str) -> bool:
    return not name.rpartition(".")[2].startswith("_")


def _number(value: float | None) -> str:
    return "not there" if value is None else f"{value:g}"
