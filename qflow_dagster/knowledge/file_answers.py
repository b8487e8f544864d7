"""Answers on files, and what was measured of them and of symbols: imports, complexity, findings, copies.

Belongs here: one function per kind of question. Does not belong here: who uses a file (`use_answers`), its history
(`history_answers`), its tests (`coverage_answers`), folders (`folder_answers`).
"""

import posixpath
from typing import Any

from qflow_dagster.knowledge import configuration_answers, graph, likeness, lookups
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
)
from qflow_dagster.metrics import queries as metrics


def dependencies(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name what a file imports, of the repository and from outside; of a manifest, what it requires.

    Raises:
        UnansweredError: The file is not read as code.
    """
    path = context.path()
    rows = graph.dependencies(context.connection, context.snapshot, path)
    own = [_written(row) for row in rows if row.target_path]
    external = [row.module for row in rows if not row.target_path]
    if required := configuration_answers.of_manifest(context, path) if not rows else None:
        return required
    if not rows:
        if path not in lookups.code_paths(context.connection, context.snapshot, [path]):
            raise UnansweredError(f"{path} is not read as code; what it depends on is not known")
        return f"{path} imports nothing", [context.at(path, 1, path)]
    sentence = f"{path} imports {count(len(own), 'file')} of the repository" + (
        f": {listed(own)}" if own else ""
    )
    sentence += f"; and from outside {listed(external)}" if external else ""
    return sentence, [
        found
        for row in rows
        for found in context.at_each(path, row.lines, f"imports {row.target_path or row.module}")
    ]


def _written(row: Any) -> str:
    """Return an imported file, with the module and line of the import if that is written otherwise than the path."""
    path, module = row.target_path, row.module
    if path == module or posixpath.splitext(path)[0].endswith(module.replace(".", "/")):
        return path
    return f"{path} ({module}, line {row.line})"


def coupled(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the files that often change together with one."""
    path = context.path()
    rows = metrics.file_metrics(context.connection, context.snapshot.repository_id, path)["coupled_files"]
    if not rows:
        return f"no file often changes with {path}", [context.at(path, 1, path)]
    items = [
        f"{row['path']} (in {row['common_commits']} common commits, degree {row['degree']})" for row in rows
    ]
    sentence = f"with {path} change {listed(items)}"
    return sentence, [
        context.at(row["path"], 1, f"{row['common_commits']} commits together") for row in rows[:MAX_ROWS]
    ]


def hotspot(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Give the measures that make a file or function complex, risky or changed often."""
    if not lookups.files(context.connection, context.snapshot, context.subject):
        symbol = context.definition()
        measures = metrics.metrics_of(
            context.connection, context.snapshot.repository_id, f"{symbol.path}:{symbol.name}"
        )
        metrics_by_name = {
            name: measures[name]
            for name in ("cognitive", "cyclomatic", "nesting", "code_lines", "parameters")
        }
        sentence = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in metrics_by_name.items())
        (symbol,) = context.declared([symbol])
        return f"{symbol.name} ({symbol.path}:{symbol.line}): {sentence}", [
            context.at(symbol.path, symbol.line, sentence)
        ]
    path = context.path()
    measures = metrics.file_metrics(context.connection, context.snapshot.repository_id, path)
    spot, size, changes = (measures.get(name) for name in ("hotspot", "size", "changes"))
    worst = [{**row, "path": path} for row in measures["functions"] if row["cognitive"]][:3]
    worst = context.at_names(worst)
    parts = []
    if spot:
        parts.append(f"{path} is hotspot {spot['rank']}: {spot['reason']}")
    elif size:
        parts.append(
            f"{path} is not a hotspot: {size['code_lines']:,} lines of code, cognitive complexity {size['cognitive']}"
        )
    if changes:
        parts.append(
            f"{changes['commits']:,} commits by {changes['authors']:,} authors, "
            f"{changes['bug_fixes']:,} of them bug fixes"
        )
    if worst:
        items = [f"{row['function']} (cognitive {row['cognitive']}, line {row['line']})" for row in worst]
        parts.append(f"its most complex: {listed(items)}")
    if not parts:
        raise UnansweredError(f"{path} was not measured")
    evidence = [
        context.at(path, row["line"], f"{row['function']}: cognitive {row['cognitive']}") for row in worst
    ]
    return "; ".join(parts), [context.at(path, 1, parts[0]), *evidence]


def rules(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the findings in a file, by rule."""
    # The rules bring parsers, whose import takes longer than other answers.
    from qflow_dagster.evolution import findings

    path = context.path()
    rows = [
        row
        for row in findings.find(context.connection, context.snapshot.repository_id, path=path, limit=1_000)
        if row["path"] == path
    ]
    if not rows:
        return f"no rule has findings in {path}", [context.at(path, 1, path)]
    by_rule: dict[str, int] = {}
    for row in rows:
        by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + 1
    items = [f"{rule} ({number})" for rule, number in sorted(by_rule.items(), key=lambda pair: -pair[1])]
    sentence = f"{count(len(rows), 'finding')} in {path}: {listed(items)}"
    return sentence, [
        context.at(path, row["line"] or 1, f"{row['rule']}: {row['message']}") for row in rows[:MAX_ROWS]
    ]


def similar(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name what has the same or nearly the same code as a file or symbol."""
    connection, snapshot = context.connection, context.snapshot
    path, first, last, what = context.path(), 1, 10**9, "other file"
    same: list[str] = []
    evidence: list[Evidence] = []
    if context.file():
        same = lookups.identical(connection, snapshot, path)
        if path not in lookups.code_paths(connection, snapshot, [path]):
            context.limit(f"{path} is not read as code; files that only resemble it were not looked for")
    else:
        symbol = context.definition()
        first, last, what = symbol.line, symbol.end_line, "other code"
        evidence = [context.at(s.path, s.line, s.signature) for s in context.declared([symbol])]
    rows = [row for row in lookups.similar(connection, snapshot, path, first, last) if row.path not in same]
    parts = [f"{context.subject} has the same content as {listed(same)}"] if same else []
    if rows:
        # The copied lines may begin in the middle of a function.
        places = [(row.path, row.line) for row in rows]
        around = lookups.enclosing_symbols(connection, snapshot, places)
        names = {place: f" in {around[place].name}" if place in around else "" for place in places}
        items = [f"{r.path}:{r.line}{names[r.path, r.line]} ({r.tokens:,} tokens)" for r in rows]
        parts.append(f"{context.subject} shares code with {listed(items)}")
        copies = context.declared(list(dict.fromkeys(around[place] for place in places if place in around)))
        evidence += [context.at(s.path, s.line, s.signature) for s in copies[:MAX_ROWS]]
    alike: list[lookups.SymbolLocation] = []
    if not rows and not context.file():
        alike = likeness.nearly_same(context, context.meant or [context.definition()])
        what = "other code of its kind and size is nearly the same, or"
    if alike:
        items = [f"{other.name} ({other.path}:{other.line})" for other in alike]
        parts.append(
            f"{context.subject} has the same or, but for names, nearly the same code as {listed(items)}"
        )
        context.limit("only symbols of its kind, language and size were compared, each as a whole")
    evidence += [context.at(other, 1, f"the same as {path}") for other in same[:MAX_ROWS]]
    evidence += [context.at(other.path, other.line, other.signature) for other in alike[:MAX_ROWS]]
    evidence += [context.at(row.path, row.line, f"as {path}:{row.own_line}") for row in rows[:MAX_ROWS]]
    if not parts:
        return f"no {what} shares copied code with {context.subject}", evidence or [
            context.at(path, first, path)
        ]
    return "; ".join(parts), evidence
