"""Two phases of a goal, from facts: what is to be reached, and what the steps towards it affect.

Belongs here: specification, architecture, and their gates. Does not belong here: the steps (`sparc_steps`), changes
(`sparc_changes`), the order of phases and rounds (`execution.sparc`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import builtin_agents
from qflow_dagster.evolution import findings, rule_set
from qflow_dagster.execution import sparc_strategies, sparc_targets
from qflow_dagster.execution.sparc import Gate, Goal, PhaseResult
from qflow_dagster.generation import characterisation
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, current_snapshot
from qflow_dagster.knowledge import graph, history_lookups, lookups
from qflow_dagster.metrics import queries as metrics

AUTHOR = builtin_agents.PLANNER
MAX_ROWS = 40
RISKS = ("low", "medium", "high")


def specification(engine: Engine, goal: Goal) -> PhaseResult:
    """Write down the findings, the acceptance criteria as checks that can be run, and what must not change."""
    path = goal.target.path
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, goal.repository)
        finding_rows = findings_of(connection, snapshot, goal)
        value = sparc_targets.measure(connection, snapshot, goal.target)
        symbol_names = [symbol.name for symbol in lookups.within(connection, snapshot, path)]
        names = list(dict.fromkeys(name for name in symbol_names if _public(name)))
        tests = _tests(connection, snapshot, path)
        rationale = {rule.id: rule.rationale for rule in rule_set.current(connection)}
        objects = repositories.find(connection, goal.repository).objects
        function_rows = metrics.file_metrics(connection, snapshot.repository_id, path).get("functions", ())
        lines = [row["line"] for row in function_rows if row["function"] == goal.target.function]
    stays = (
        characterisation.characterise(engine, objects, snapshot, path, lines[0])
        if lines and goal.language == "Python" and value is not None and not goal.target.holds(value)
        else None
    )
    checks = [
        {
            "check": "target",
            "description": goal.target.description,
            "now": value,
            "holds": goal.target.holds(value),
        },
        {
            "check": "tests",
            "description": "the repository's own tests pass as before",
            "now": None,
            "holds": None,
        },
        {
            "check": "symbols",
            "description": f"the {len(names)} public names of {path} stay",
            "now": len(names),
            "holds": True,
        },
    ]
    if stays is not None and stays.tests:
        description = f"{goal.target.function} does as before in {stays.evidence}"
        checks.append({"check": "behaviour", "description": description, "now": stays.tests, "holds": True})
    data = {
        "commit": snapshot.commit_oid,
        "findings": finding_rows,
        "checks": checks,
        "names": names,
        "tests": tests,
        "characterisation": stays and stays._asdict(),
    }
    report = [
        f"# {goal.title}",
        "",
        f"Target: **{goal.target.description}**; now {_number(value)} at {snapshot.commit_oid[:10]}.",
        "",
        "## Findings",
        "",
        *[f"- `{path}:{row['line']}` {row['rule']}: {row['message']}" for row in finding_rows[:MAX_ROWS]],
        *([] if finding_rows else ["No rule has findings; the measure alone is the target."]),
        *[
            f"\nWhy: {rationale[rule]}"
            for rule in sorted({row["rule"] for row in finding_rows})
            if rule in rationale
        ][:5],
        "",
        "## Done when",
        "",
        *[f"- {check['description']}" for check in checks],
        "",
        "## What must not change",
        "",
        f"- public names: {_code(names[:MAX_ROWS]) or 'none'}",
        f"- tests that reach it: {_code(tests[:10]) or 'none known'}",
    ]
    if stays is not None:
        report.append(f"- what it does today: {stays.evidence}")
    if stays is not None and stays.tests:
        module = stays.module.replace("```", "` ` `")
        report += ["", "## What it does today", "", "```python", module.rstrip("\n"), "```"]
    if goal.target.holds(value):
        gate = Gate("facts", "met", f"{goal.target.description}: it is {_number(value)} already")
    elif value is None:
        gate = Gate(
            "facts", "rejected", f"{path or goal.target.description} does not exist, so it cannot be measured"
        )
    else:
        gate = Gate("facts", "accepted", f"it can be measured, and is {_number(value)} now")
    return PhaseResult("\n".join(report), data, AUTHOR, gate)


def architecture(engine: Engine, goal: Goal) -> PhaseResult:
    """List what the steps affect (symbols, transitive dependents, coupled files, owners), and the risk."""
    path = goal.target.path
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, goal.repository)
        lines = sorted({line for step in goal.last("pseudocode")["steps"] for line in step["lines"]})
        symbols = _symbols_at(connection, snapshot, path, lines)
        dependents = _dependents(connection, snapshot, path)
        file_metrics = metrics.file_metrics(connection, snapshot.repository_id, path)
        owners = [
            {"author": row.author_name, "commits": row.commits}
            for row in history_lookups.authors(connection, snapshot, path)
        ]
        tests = _tests(connection, snapshot, path)
    coupled = [{"path": row["path"], "degree": row["degree"]} for row in file_metrics["coupled_files"][:10]]
    reasons = risks(len(dependents), tests, file_metrics.get("hotspot"), owners)
    risk = RISKS[(len(reasons) > 0) + (len(reasons) > 2)]
    max_risk = sparc_strategies.named(goal.strategy).max_risk
    data = {
        "commit": snapshot.commit_oid,
        "files": [path],
        "symbols": symbols,
        "dependents": dependents,
        "coupled": coupled,
        "owners": owners,
        "tests": tests,
        "risk": risk,
        "reasons": reasons,
    }
    report = [
        f"# Affected by a change of {path}",
        "",
        f"Risk: **{risk}**" + (f" ({'; '.join(reasons)})" if reasons else ""),
        "",
        f"- symbols: {_code(symbols[:MAX_ROWS]) or 'the file'}",
        f"- files that depend on it, within three steps: {len(dependents)}"
        + (f" ({_code(dependents[:10])}{' ...' if len(dependents) > 10 else ''})" if dependents else ""),
        f"- changes together with: {_code(row['path'] for row in coupled) or 'nothing'}",
        f"- known best to: {', '.join(row['author'] for row in owners[:3]) or 'nobody'}",
        f"- tests that reach it: {_code(tests[:10]) or 'none known'}",
        "",
        *_drawn(path, [name for name in dependents if name not in tests], tests),
        "",
        "Order of the moves:",
        "",
        *[f"{number}. {move}" for number, move in enumerate(_moves(goal, tests, dependents), 1)],
    ]
    if RISKS.index(risk) > RISKS.index(max_risk):
        reason = f"the risk is {risk}, the strategy {goal.strategy} accepts at most {max_risk}: {'; '.join(reasons)}"
        gate = Gate("policy", "rejected", reason)
    else:
        gate = Gate("policy", "accepted", f"the risk is {risk}, at most {max_risk} is accepted")
    return PhaseResult("\n".join(report), data, AUTHOR, gate)


def _drawn(path: str, dependents: Sequence[str], tests: Sequence[str]) -> list[str]:
    """Return what depends on a file and the tests that reach it as a Mermaid diagram."""
    nodes = [
        ("target", path),
        *(("dependent", name) for name in dependents[:10]),
        *(("test", name) for name in tests[:10]),
    ]
    lines = ["```mermaid", "graph LR"]
    for number, (kind, name) in enumerate(nodes):
        # Names come from outside: only what cannot end a label is left.
        label = re.sub(r"[^\w./@+ -]", "_", name)
        lines.append(f'    n{number}["{label}"]')
        lines += [] if kind == "target" else [f"    n{number} {'-.->' if kind == 'test' else '-->'} n0"]
    return [*lines, "```"]


def _moves(goal: Goal, tests: Sequence[str], dependents: Sequence[str]) -> list[str]:
    """Return the order in which a change is made and checked."""
    steps = [step for step in goal.last("pseudocode")["steps"] if step["left"]]
    first = (
        [f"run {len(tests)} test files that reach it, before any change"]
        if tests
        else ["write a test first: none reaches it"]
    )
    own = [f"{step['what']} (`{step['rule']}`), by {', '.join(step['left'])}" for step in steps]
    last = f"run all tests{f'; {len(dependents)} files depend on it' if dependents else ''}"
    return [*first, *own, last]


def risks(dependent_count: int, tests: Sequence[str], hotspot: Any, owners: Sequence[Any]) -> list[str]:
    """Return what makes a change of a file risky. No reason: low; one or two: medium; more: high."""
    reasons = []
    if dependent_count > 50:
        reasons.append(f"{dependent_count} files depend on it")
    if not tests:
        reasons.append("no test is known to reach it")
    if hotspot and hotspot["rank"] <= 10:
        reasons.append(f"it is hotspot {hotspot['rank']}")
    if len(owners) == 1:
        reasons.append(f"only {owners[0]['author']} ever changed it")
    return reasons


def findings_of(connection: Connection, snapshot: Snapshot, goal: Goal) -> list[dict[str, Any]]:
    """Return the findings of the goal's rule, or all of its file; of a function, those in it."""
    if not goal.target.path:
        return []
    rule = goal.target.measure if goal.target.kind == "rule" else None
    rows = findings.find(connection, snapshot.repository_id, rule=rule, path=goal.target.path, limit=1_000)
    columns = ("rule", "line", "symbol", "message", "fixable")
    function = goal.target.function
    return [
        {name: row[name] for name in columns}
        for row in rows
        if row["path"] == goal.target.path
        and (function is None or row["symbol"] == function or row["symbol"].startswith(f"{function}."))
    ]


_SYMBOLS_AT = text(f"""
SELECT DISTINCT ON (line) s.qualified_name FROM unnest(CAST(:lines AS int[])) AS line
JOIN files f ON {IN_SNAPSHOT} AND f.path = :path
JOIN symbols s ON s.blob_id = f.blob_id AND s.seq > 0 AND line BETWEEN s.start_line AND s.end_line
ORDER BY line, s.end_line - s.start_line
""")


def _symbols_at(connection: Connection, snapshot: Snapshot, path: str, lines: Sequence[int]) -> list[str]:
    """Return the innermost symbols around these lines."""
    rows = connection.scalars(_SYMBOLS_AT, {**snapshot.interval, "path": path, "lines": list(lines)})
    return list(dict.fromkeys(rows))


_DEPENDENTS = text(f"""
WITH RECURSIVE dependent(path, depth) AS (
    SELECT CAST(:path AS text), 0
    UNION
    SELECT f.source_path, dependent.depth + 1
    FROM dependent JOIN dependencies f ON f.target_path = dependent.path
    WHERE {IN_SNAPSHOT} AND dependent.depth < 3
)
SELECT path FROM dependent WHERE path <> :path GROUP BY path ORDER BY min(depth), path LIMIT 1000
""")


def _dependents(connection: Connection, snapshot: Snapshot, path: str) -> list[str]:
    return list(connection.scalars(_DEPENDENTS, {**snapshot.interval, "path": path}))


def _tests(connection: Connection, snapshot: Snapshot, path: str) -> list[str]:
    rows = graph.reached_from(connection, snapshot, [path], exports=True)
    return [row.path for row in rows if row.test]


def _code(names: Iterable[str]) -> str:
    """Return names from outside as Markdown code spans."""
    return ", ".join(f"`{name.replace('`', ' ')}`" for name in names)


def _public(name: str) -> bool:
    return not name.rpartition(".")[2].startswith("_")


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"
