"""Answers on tests: by a coverage file of the repository, by calls, by names, and by imports.

Belongs here: reading coverage files (coverage.py's JSON, LCOV, Cobertura, Go's profiles). Does not belong here: how the
tests are run (`testing_commands`).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from qflow_dagster.knowledge import callers, code_answers, git_facts, graph, lookups, titles_of_tests
from qflow_dagster.knowledge.declarations import Call, Declarations
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, listed
from qflow_dagster.knowledge.mentions import CALLED, PASSED, mentions

_FILES = (
    r"^(?:coverage\.json|lcov\.info|coverage\.lcov|coverage\.xml|cobertura(?:-coverage)?\.xml"
    r"|(?:coverage|cover|c)\.(?:out|coverprofile|txt))$"
)
# Of the calls at the top level of a file, so many are named.
MAX_LINES = 5
# Languages where a method is named as a value without what it belongs to.
_NAMED_ALONE = (".cs", ".swift")


class CoveredLine(NamedTuple):
    """A line of a file, how often tests executed it, and which (if the file says that)."""

    path: str
    line: int
    hits: int
    tests: tuple[str, ...] = ()


def covered(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the tests of a file or symbol: as a coverage file says, that call it, that name it, or import its file."""
    connection, snapshot, subject = context.connection, context.snapshot, context.subject
    said, evidence = _by_coverage(context)
    parts = [said] if said else []
    if path := context.file():
        sentence, found_tests = _tests_of_file(context, path)
        return "; ".join([*parts, sentence]), evidence + found_tests
    found = callers.callers(connection, snapshot, subject)
    for each in found:
        name = code_answers.name_of(subject, each, several=len(found) > 1)
        for calls, how in ((each.certain, "is called by"), (each.possible, "may also be called by")):
            tests = [call for call in calls if call.test]
            if tests:
                tests += _further_lines(context, tests, each)
                places = list(zip(tests, _lines_of_tests(context, tests), strict=True))
                titles = titles_of_tests.titles(context, [call[:2] for call in tests if not call.caller])
                items = [
                    f"{c.caller or _quoted(titles.get(c[:2])) or 'top level'} ({c.path}:{line})"
                    for c, line in places
                ]
                parts.append(f"{name} {how} the tests {listed(items)}")
                evidence += _calls_in_tests(context, places)
    code_answers.say_homonyms(context)
    foreign = [
        each._replace(
            foreign=[call for call in each.foreign if call.test],
            unresolved=[call for call in each.unresolved if call.test],
        )
        for each in found
    ]
    code_answers.say_foreign(context, foreign)
    through, further = _through_callers(context, [call for each in found for call in each.certain])
    lines = _naming_tests(context)
    if len(parts) > bool(said):
        calling = {item.path for item in evidence}
        more = [row for row in lines if row.path not in calling] if len(found) == 1 else []
        if more:
            parts.append(f"other tests name it in {listed(_in_tests(context, more))}")
            evidence += [context.at(r.path, r.line, r.text) for r in _first_of_all(more)]
        return "; ".join([*parts, *through]), evidence + further
    _say_passed(context)
    path = context.path()
    if lines or through:
        naming = f"; tests name it in {listed(_in_tests(context, lines))}" if lines else ""
        calls = code_answers.doubtful(context, foreign)
        none = (
            f"no call in a test is known to be of {subject}" if calls else f"no test calls {subject} by name"
        )
        parts.append(none + naming)
        evidence += calls
        evidence += [context.at(r.path, r.line, r.text) for r in _first_of_all(lines)]
        return "; ".join([*parts, *through]), evidence + further
    rows = _importing_tests(context, path)
    if rows:
        parts.append(f"{path} is imported by the tests {listed([row.path for row in rows])}")
        evidence += [context.at(row.path, row.line, f"imports {row.target}") for row in rows[:MAX_ROWS]]
    else:
        parts.append(f"no test names {subject}, or imports {path}")
        evidence.append(context.at(path, 1, path))
    return "; ".join(parts), evidence


def _quoted(title: str | None) -> str:
    return f"'{title}'" if title else ""


def _further_lines(context: QuestionContext, tests: Sequence[Call], each: callers.Callers) -> list[Call]:
    """Return further calls at the top level of test files: of several in a symbol, the facts have the first.

    Not of files that call others of that name there.
    """
    own = {(call.path, call.line) for call in (*each.certain, *each.possible, *each.again)}
    calls = Declarations(context.connection, context.snapshot).calls({context.short_name})
    mixed = {call.path for call in calls if not call.caller and (call.path, call.line) not in own}
    first = {call.path: call for call in tests if not call.caller and call.path not in mixed}
    if not first:
        return []
    named = mentions(context, context.short_name)
    rows = [row for row in named.uses if row.path in first and named.roles[row.path, row.line] == CALLED]
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    lines: dict[str, list[int]] = {}
    for row in rows:
        if not around[row.path, row.line] and row.line != first[row.path].line:
            lines.setdefault(row.path, []).append(row.line)
    if more := [path for path, numbers in lines.items() if len(numbers) >= MAX_LINES]:
        context.limit(f"of the calls at the top level, these have more than {MAX_LINES}: {listed(more)}")
    return [
        first[path]._replace(line=line) for path in lines for line in sorted(lines[path])[: MAX_LINES - 1]
    ]


def _say_passed(context: QuestionContext) -> None:
    """Say where the program passes a function on as a value: tests may reach it through what it is given to."""
    symbol = context.definition()
    if symbol.kind not in ("function", "method"):
        return
    found = mentions(context, context.short_name)
    passed = [row for row in found.uses if found.roles[row.path, row.line] == PASSED]
    if symbol.kind == "method" and not symbol.path.endswith(_NAMED_ALONE):
        # Else a variable may have the name.
        member = re.compile(rf"(?:[.:&]|->)\s?{re.escape(context.short_name)}(?!\w)")
        passed = [row for row in passed if member.search(row.text)]
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in passed])
    rows = [row for row in passed if not any(code[row.path][:2])]
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    if rows:
        places = [f"{around[row.path, row.line] or 'top level'} ({row.path}:{row.line})" for row in rows]
        context.limit(f"tests may reach it through {listed(places)}, where it is passed as a value")


def _lines_of_tests(context: QuestionContext, calls: Sequence[Call]) -> list[int]:
    """Return the line with the name of the test that each call is in, after annotations; of the call at top level."""
    tests = [
        lookups.SymbolLocation(call.path, call.caller_line, "function", call.caller, "@", call.line, "")
        for call in calls
    ]
    named = context.declared(tests)
    return [test.line if call.caller else call.line for call, test in zip(calls, named, strict=True)]


def _calls_in_tests(context: QuestionContext, places: Sequence[tuple[Call, int]]) -> list[Evidence]:
    """Return calls as evidence, each with the line of the test that it is in."""
    return [
        context.at_call(call, at)
        for call, line in places[: 2 * MAX_ROWS]
        for at in dict.fromkeys((line, call.line))
    ]


def _through_callers(context: QuestionContext, calls: Sequence[Call]) -> tuple[list[str], list[Evidence]]:
    """Name the tests that reach a symbol through its callers, in a sentence; in none if there are none."""
    callers_of_it = list(dict.fromkeys(call.caller or call.path for call in calls if not call.test))
    if not calls:
        return [], []
    tests, complete = callers.tests_through_callers(context.connection, context.snapshot, calls)
    if not complete and callers_of_it:
        reaching = listed(callers_of_it[:3], len(callers_of_it))
        context.limit(f"more tests may reach it through its callers ({reaching})")
    if not tests:
        return [], []
    lines = _lines_of_tests(context, tests)
    places = list(zip(tests, lines, strict=True))[: 2 * MAX_ROWS]
    if len(tests) > len(places):
        context.limit(f"of {len(tests)} tests that reach it through its callers, {len(places)} are listed")
    items = [f"{c.caller or 'top level'} ({c.path}:{line}, by {c.name})" for c, line in places]
    said = f"through its callers the tests {listed(items)} reach it"
    return [said], _calls_in_tests(context, places)


def _importing_tests(context: QuestionContext, path: str) -> list[Any]:
    # Through packages that export it again, too.
    rows = graph.reached_from(context.connection, context.snapshot, [path], exports=True)
    return [row for row in rows if row.test]


def _tests_of_file(context: QuestionContext, path: str) -> tuple[str, list[Evidence]]:
    """Name the tests that have the file's name, call what it defines, or import it: each once, with the line."""
    connection, snapshot = context.connection, context.snapshot
    lines = {row.path: (row.line, f"imports {row.target}") for row in _importing_tests(context, path)}
    importing = list(lines)
    calls = callers.calls_of_tests(connection, snapshot, path)
    lines |= {call.path: (call.line, f"calls {call.name}") for call in calls}
    named = lookups.tests_named_after(connection, snapshot, path)
    groups = (
        ("tests with its name", named),
        ("tests that call what it defines", [call.path for call in calls]),
        ("tests that import it", importing),
    )
    parts: list[str] = []
    evidence: list[Evidence] = []
    for what, paths in groups:
        tests = [test for test in dict.fromkeys(paths) if test not in {item.path for item in evidence}]
        if tests:
            parts.append(f"{what}: {listed(tests)}")
            evidence += [context.at(test, *lines.get(test, (1, f"is named after {path}"))) for test in tests]
    if not parts:
        return f"no test has the name of {path}, calls what it defines, or imports it", [
            context.at(path, 1, path)
        ]
    if graph.dependents(connection, snapshot, path):
        context.limit(f"tests that reach {path} through other files were not looked for")
    return f"{path} has {'; '.join(parts)}", evidence


def _naming_tests(context: QuestionContext) -> list[git_facts.Line]:
    """Return the lines of tests that name what is asked about."""
    name = context.definition().name.rpartition(".")[2]
    rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    rust = [(row.path, row.line) for row in rows if row.path in code and row.path.endswith(".rs")]
    beside_code = lookups.in_tests_of_rust(context.connection, context.snapshot, rust) if rust else set()
    return [
        row for row in rows if row.path in code and (code[row.path][0] or (row.path, row.line) in beside_code)
    ]


def _in_tests(context: QuestionContext, rows: Sequence[git_facts.Line]) -> list[str]:
    """Return lines as text, each with the test that it is in."""
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    titles = titles_of_tests.titles(context, [place for place, symbol in around.items() if not symbol])
    tests = [around[row.path, row.line] or _quoted(titles.get((row.path, row.line))) for row in rows]
    return [
        f"{r.path}:{r.line}" + (f" ({test})" if test else "") for test, r in zip(tests, rows, strict=True)
    ]


def _first_of_all(rows: Sequence[git_facts.Line]) -> list[git_facts.Line]:
    """Return as many lines as an answer shows, so that each file has one before another has its second, in order."""
    numbers: Counter[str] = Counter()
    ranked = []
    for row in rows:
        ranked.append((numbers[row.path], len(ranked), row))
        numbers[row.path] += 1
    shown = sorted(ranked, key=lambda each: each[:2])[: 2 * MAX_ROWS]
    return [row for _, _, row in sorted(shown, key=lambda each: each[1])]


def _by_coverage(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Return what coverage files of the snapshot say of the lines of each definition; '' without such a file."""
    paths = lookups.named(context.connection, context.snapshot, _FILES)
    if not paths:
        return "", []
    if context.file():
        spans = [(context.subject, context.path(), 1, 10**9)]
    else:
        groups = callers.same(lookups.symbols(context.connection, context.snapshot, context.subject))
        spans = [(f"{s.name} ({s.path}:{s.line})", s.path, s.line, s.end_line) for s, *_ in groups]
    parts, evidence = [], []
    for report, content in context.texts(paths).items():
        rows = list(read_coverage(content))
        for name, path, first, last in spans[: callers.MAX_DEFINITIONS]:
            lines = [
                row
                for row in rows
                if first <= row.line <= last and (row.path == path or row.path.endswith("/" + path))
            ]
            if lines:
                executed = [row for row in lines if row.hits]
                tests = sorted({test for row in executed for test in row.tests if test})
                said = f"by {report}, tests executed {len(executed)} of {len(lines)} lines of {name}"
                parts.append(said + (f": {listed(tests)}" if tests else ""))
                evidence.append(context.at(report, 1, parts[-1]))
        if parts:
            break
    return "; ".join(parts), evidence


def read_coverage(content: str) -> Iterator[CoveredLine]:
    """Yield the lines of a coverage file, whose format its beginning shows; nothing of what is none."""
    start = content.lstrip()[:200]
    reader: Callable[[str], Iterator[CoveredLine]]
    if start.startswith("{"):
        reader = _coverage_py
    elif start.startswith(("TN:", "SF:")):
        reader = _lcov
    elif start.startswith("mode:"):
        reader = _go
    else:
        reader = _cobertura
    try:
        yield from reader(content)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return


def _coverage_py(content: str) -> Iterator[CoveredLine]:
    for path, file in json.loads(content)["files"].items():
        contexts = file.get("contexts") or {}
        for line in file["executed_lines"]:
            # A context is "tests/test_a.py::test_b|run".
            tests = [name.partition("|")[0] for name in contexts.get(str(line), ())]
            yield CoveredLine(path, int(line), 1, tuple(tests))
        for line in file["missing_lines"]:
            yield CoveredLine(path, int(line), 0)


def _lcov(content: str) -> Iterator[CoveredLine]:
    test = path = ""
    for row in content.splitlines():
        kind, _, value = row.partition(":")
        if kind == "TN":
            test = value.strip()
        elif kind == "SF":
            path = value.strip()
        elif kind == "DA":
            line, hits = value.split(",")[:2]
            yield CoveredLine(path, int(line), int(hits), (test,) if test else ())


_CLASS = re.compile(r"<class\b[^>]{0,1000}?\bfilename=\"(?P<path>[^\"]{1,1000})\"")
_LINE = re.compile(
    r"<line\b[^>]{0,300}?\bnumber=\"(?P<line>[0-9]{1,9})\"[^>]{0,300}?\bhits=\"(?P<hits>[0-9]{1,18})\""
)


def _cobertura(content: str) -> Iterator[CoveredLine]:
    # An XML parser would expand the entities of a hostile file.
    for block in content.split("<class ")[1:]:
        file = _CLASS.match("<class " + block[:3_000])
        if file:
            for row in block.split("<line ")[1:]:
                if found := _LINE.match("<line " + row[:1_000]):
                    yield CoveredLine(file["path"], int(found["line"]), int(found["hits"]))


def _go(content: str) -> Iterator[CoveredLine]:
    for row in content.splitlines()[1:]:
        path, _, rest = row.rpartition(":")
        span, _, hits = rest.split(" ")
        first, last = (int(place.partition(".")[0]) for place in span.split(","))
        for line in range(first, min(last, first + 10_000) + 1):
            # The path begins with that of the module.
            yield CoveredLine(path, line, int(hits))
