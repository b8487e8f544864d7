"""Answers on how two places relate: inheritance, common bases, calls, names, imports, and changes together.

Does not belong here: following the edges (`graph`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.knowledge import callers, graph, lookups, mentions
from qflow_dagster.knowledge.declarations import TYPES, Definition, titled
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    is_in,
    listed,
)
from qflow_dagster.knowledge.graph import MAX_DEPTH, Step
from qflow_dagster.knowledge.inheritance import INHERITS, Inheritance, location
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.metrics import queries as metrics

# Of a line that has a name, so much is quoted.
MAX_LENGTH = 120


def related(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the shortest ways between two places, in both directions, and how often their files changed together."""
    other = context._replace(subject=context.other, other=context.subject, meant=())
    if context.folder() or other.folder():
        return _of_folders(context, other)
    parts: list[str] = []
    evidence: list[Evidence] = []
    inherits = False
    for one, two in ((context, other), (other, context)):
        inherited = _inheritance(one, two)
        inherits |= bool(inherited)
        for way, verb in ((inherited, INHERITS), (_calls(one, two), "calls")):
            _describe(context, way, verb, parts, evidence)
    if not inherits:
        _describe_common(context, other, parts, evidence)
    path, other_path = context.path(), other.path()
    for one, two in ((context, other), (other, context)):
        _describe_naming(context, one, two, parts, evidence)
    if path != other_path:
        for source, target in ((path, other_path), (other_path, path)):
            way = graph.import_path(context.connection, context.snapshot, source, target)
            _describe(context, way, "imports", parts, evidence)
        parts += _together(context, path, other_path)
    elif not parts:
        parts.append(f"both are in {path}")
    evidence += [place.at_definition() for place in (context, other)]
    if not parts:
        raise UnansweredError(
            f"no way of up to {MAX_DEPTH} calls or imports leads from {context.subject} to {context.other} or back, "
            "and their files are not coupled by changes"
        )
    return "; ".join(parts), evidence


def _of_folders(context: QuestionContext, other: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the imports between the files of two folders, or of a folder and a file."""
    one, two = (each.folder() or each.path() for each in (context, other))
    if is_in(one, two) or is_in(two, one):
        outer, inner = sorted((one, two), key=len)
        return f"{inner} is in {outer}", [context.at(each, 1, each) for each in {one, two}]
    parts: list[str] = []
    evidence: list[Evidence] = []
    for source, target in ((one, two), (two, one)):
        rows = graph.between(context.connection, context.snapshot, source, target)
        files = list(dict.fromkeys(row.path for row in rows))
        if files:
            verb = "import" if files[1:] else "imports"
            items = listed([f"{row.path}:{row.line} ({row.target})" for row in rows])
            parts.append(f"{_files_of(source, files)} {verb} what is in {target}: {items}")
        evidence += [context.at(row.path, row.line, f"imports {row.target}") for row in rows[: 2 * MAX_ROWS]]
    if not parts:
        raise UnansweredError(f"no file of {one} imports one of {two}, nor the other way round")
    context.limit("of folders only imports were looked at")
    return "; ".join(parts), evidence


def _files_of(place: str, files: Sequence[str]) -> str:
    return place if list(files) == [place] else f"{count(len(files), 'file')} of {place}"


def _describe(
    context: QuestionContext, way: list[Step], verb: str, parts: list[str], evidence: list[Evidence]
) -> None:
    if way:
        steps = [f"{step.verb or verb} {step.target} ({step.path}:{step.line})" for step in way]
        parts.append(f"{way[0].source} " + ", which ".join(steps))
        evidence += [
            context.at(step.path, step.line, f"{step.source} {step.verb or verb} {step.target}")
            for step in way
        ]


def _describe_naming(
    context: QuestionContext,
    one: QuestionContext,
    two: QuestionContext,
    parts: list[str],
    evidence: list[Evidence],
) -> None:
    """Say which lines of the one have the name of the other: as a type, another name of it, what is created."""
    symbol, other = one.symbol(), two.symbol()
    if other is None:
        return
    name, path = lookups.short_name(other.name), one.path()
    text = one.texts([path]).get(path, "")
    words = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
    first, last = (symbol.line, symbol.end_line) if symbol else (1, len(text))
    known = {(item.path, item.line) for item in evidence}
    numbers = {
        found.line
        for found in mentions.occurrences(path, text, words)
        if first <= found.line <= last and (path, found.line) not in known
    }
    # The definition of the other, which may be within the one, is no use of it.
    if path == other.path:
        numbers -= set(range(other.line, other.end_line + 1))
    lines = text.splitlines()
    rows = [(number, " ".join(lines[number - 1].split())[:MAX_LENGTH]) for number in sorted(numbers)]
    if rows:
        if len(lookups.places_of(context.connection, context.snapshot, name)) > max(len(two.meant), 1):
            context.limit(f"several things have the name {name}, which one the lines mean was not looked at")
        said = listed([f"{line!r} ({path}:{number})" for number, line in rows])
        parts.append(f"{symbol.name if symbol else path} names {name}: {said}")
        evidence += [context.at(path, number, line) for number, line in rows[:MAX_ROWS]]


def _inheritance(one: QuestionContext, two: QuestionContext) -> list[Step]:
    """Return the steps by which a type inherits from another one."""
    symbol, other = one.symbol(), two.symbol()
    inheritance = Inheritance(one.connection, one.snapshot)
    ways: list[tuple[SymbolLocation | Definition, list[Step]]] = [(symbol, [])] if symbol and other else []
    for _ in range(MAX_DEPTH):
        following = []
        for derived, way in ways:
            for base in inheritance.bases(derived):
                step = Step(derived.name, base.name, derived.path, base.line or derived.line, base.verb)
                longer = [*way, step]
                if other and any((d.path, d.line) == (other.path, other.line) for d in base.definitions):
                    return longer
                following += [(definition, longer) for definition in base.definitions[:1]]
        ways = following
    return []


def _describe_common(
    context: QuestionContext, other: QuestionContext, parts: list[str], evidence: list[Evidence]
) -> None:
    """Say first which bases both have, each without those that it has itself."""
    first, second = _parts(context), _parts(other)
    if not first or not second:
        return
    inheritance = Inheritance(context.connection, context.snapshot)
    of_second = inheritance.ancestry(second).found
    common = [
        (base, steps + of_second[key][1])
        for key, (base, steps) in inheritance.ancestry(first, of_second).found.items()
        if key in of_second
    ]
    # Those of the repository first.
    common.sort(key=lambda pair: not pair[0].definitions)
    items = []
    for base, steps in common[:MAX_ROWS]:
        (found,) = context.declared([location(d) for d in base.definitions[:1]]) or (None,)
        items.append(f"{titled(found)} ({found.path}:{found.line})" if found else base.name)
        evidence += [context.at(found.path, found.line, found.signature)] if found else []
        evidence += [
            context.at(step.path, step.line, f"{step.source} {INHERITS} {step.target}") for step in steps
        ]
    if items:
        parts.insert(0, f"both inherit from {listed(items, len(common))}")


def _parts(context: QuestionContext) -> list[SymbolLocation]:
    """Return the parts of the type that is meant; nothing if it is none."""
    symbol = context.symbol()
    if symbol is None or symbol.kind not in {*TYPES, "module"}:
        return []
    named = lookups.symbols(context.connection, context.snapshot, context.subject)
    return next((group for group in callers.apart(named) if symbol in group), [symbol])


def _calls(one: QuestionContext, two: QuestionContext) -> list[Step]:
    """Return the steps by which a function, or a type's methods, call another symbol, or one of a file."""
    symbol, other = one.symbol(), two.symbol()
    if symbol is None:
        return []
    if other is None:
        members = lookups.within(two.connection, two.snapshot, two.path(), nested=True)
        goals = [member for member in members if member.path != symbol.path]
    else:
        goals = lookups.symbols(two.connection, two.snapshot, two.subject)
    return graph.call_path(one.connection, one.snapshot, symbol, goals)


def _together(context: QuestionContext, path: str, other: str) -> list[str]:
    rows = metrics.file_metrics(context.connection, context.snapshot.repository_id, path)["coupled_files"]
    return [
        f"{path} and {other} changed together in {count(row['common_commits'], 'commit')}"
        for row in rows
        if row["path"] == other
    ]
