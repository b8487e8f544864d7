"""Answer which functions are likely dead: nothing calls, imports or names them.

Belongs here: what keeps a function alive without a call: it is passed as a value, registered by its name, decorated,
visible to other projects. Does not belong here: calls (`callers`).
"""

import re
from collections import defaultdict
from collections.abc import Sequence

from qflow_dagster.knowledge import callers, git_facts, lookups
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
)
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name
from qflow_dagster.knowledge.mentions import occurrences

# Names looked for at once, files read at once, and functions shown.
BATCH, FILES, MAX_SHOWN = 100, 64, 60
# A file that is run, or whose names are used by convention, has callers that no index shows.
_ENTRY_NAMES = frozenset({"main", "setup", "teardown", "init", "run", "handler", "new", "default"})
# Files that register or use code by its name: configuration, templates.
_BY_NAME = re.compile(
    r"\.(?:toml|cfg|ini|json|ya?ml|xml|properties|conf|html?|erb|haml|j2|jinja2?|tmpl|hbs|ejs|twig|vue|svelte)$"
)
_PRIVATE = re.compile(r"\b(?:static|private|internal|fileprivate|defp|local|pub\s*\((?:super|self))\b")
_ANNOTATED = ("@", "[", "#[")
# Tests and benchmarks within files of the program.
_TESTS = re.compile(r"\s*#\[(?:\w+::)*(?:test|bench|rstest|test_case)\b")
_SCRIPTS = (".sh", ".bash", ".zsh", ".ksh", ".bats")
_EXPORTED_BY_WORD = {".rs": "pub", **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx"), "export")}

# What no index shows, so that the answer is never certain.
UNSEEN = (
    "Methods are not looked at, and a name that is used elsewhere counts as a use; "
    "calls by reflection or from outside the repository are not seen"
)
SAID = {
    "hidden": "likely dead",
    "visible": "public, so other projects may use them",
    "decorated": "decorated or annotated, which may register them",
}


def dead(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List functions that nothing calls, imports or names: likely dead, never certain."""
    # A file may be named without its folder.
    place = (context.file() or context.folder() or context.subject) if context.subject else ""
    rows, functions = callers.uncalled(context.connection, context.snapshot, place)
    rows = [row for row in rows if short_name(row.name).lower() not in _ENTRY_NAMES]
    where = f" in {place}" if place else ""
    if not functions:
        raise UnansweredError(f"there are no functions{where} to look at, or there is no such file or folder")
    found: list[SymbolLocation] = []
    for first in range(0, len(rows), BATCH):
        found += _unnamed(context, rows[first : first + BATCH])
        if len(found) >= MAX_SHOWN:
            break
    first_lines = _first_lines(context, found)
    found = [
        row
        for row in found
        for before, first_line in [first_lines.get(row, ("", ""))]
        if not _is_value(row, first_line) and not _TESTS.match(before)
    ][:MAX_SHOWN]
    if not found:
        said = f"none found: each of {count(functions, 'function')}{where} is called, imported, named or an entry point"
        return f"{said}. {UNSEEN}", [Evidence(context.snapshot.commit_oid, place or None, None, said)]
    kinds: dict[str, list[SymbolLocation]] = defaultdict(list)
    for row in found:
        kinds[_kind(row, *first_lines.get(row, ("", "")))].append(row)
    parts = [
        f"{said}: " + listed([f"{row.name} ({row.path}:{row.line})" for row in kinds[kind]])
        for kind, said in SAID.items()
        if kinds[kind]
    ]
    shown = [row for kind in SAID for row in kinds[kind]]
    return (
        f"neither called, imported nor named anywhere{where}: {len(shown)} of {count(functions, 'function')}; "
        f"{'; '.join(parts)}. {UNSEEN}",
        [context.at(row.path, row.line, row.signature) for row in shown[:MAX_ROWS]],
    )


def _unnamed(context: QuestionContext, rows: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the symbols that no code or configuration names outside of their own definition."""
    by_name: dict[str, list[SymbolLocation]] = defaultdict(list)
    for row in rows:
        by_name[short_name(row.name)].append(row)
    words = re.compile(rf"(?<![\w$])(?:{'|'.join(by_name)})(?![\w$])")
    lines: dict[str, list[git_facts.Line]] = defaultdict(list)
    for line in _lines(context, list(by_name)):
        lines[line.path].append(line)
    own = lookups.code_paths(context.connection, context.snapshot, list(lines))
    alive: set[SymbolLocation] = set()
    code = [path for path in lines if path in own and not _BY_NAME.search(path)]
    for path in set(lines) - set(code):
        if _BY_NAME.search(path):
            alive |= {
                row for line in lines[path] for name in words.findall(line.text) for row in by_name[name]
            }
    for first in range(0, len(code), FILES):
        paths = [
            path
            for path in code[first : first + FILES]
            if any(set(by_name[n]) - alive for line in lines[path] for n in words.findall(line.text))
        ]
        texts = context.texts(paths)
        for path in paths:
            for name, number, declares, _ in occurrences(path, texts.get(path, ""), words):
                if declares:
                    continue
                within = {
                    row for row in by_name[name] if row.path == path and row.line <= number <= row.end_line
                }
                alive |= set(by_name[name]) - within
    return [row for row in rows if row not in alive]


def _lines(context: QuestionContext, names: Sequence[str]) -> list[git_facts.Line]:
    """Return the lines that have the names; of names that are in very many lines, each is looked for alone."""
    lines = git_facts.lines_with_any(context.objects(), context.snapshot.commit_oid, names)
    if len(lines) < git_facts.MAX_LINES or len(names) == 1:
        return lines
    half = len(names) // 2
    return _lines(context, names[:half]) + _lines(context, names[half:])


def _first_lines(
    context: QuestionContext, rows: Sequence[SymbolLocation]
) -> dict[SymbolLocation, tuple[str, str]]:
    """Return the line before each function, where a decorator is, and its first line."""
    texts = context.texts(sorted({row.path for row in rows}))
    lines = {path: ["", *content.splitlines()] for path, content in texts.items()}
    return {
        row: (lines[row.path][row.line - 1], lines[row.path][row.line])
        for row in rows
        if row.line < len(lines.get(row.path, ()))
    }


def _is_value(row: SymbolLocation, first_line: str) -> bool:
    """Return whether a function is a named expression of JavaScript, used where it is written."""
    written = re.search(rf"\bfunction\b\s*\*?\s*{re.escape(short_name(row.name))}\b", first_line)
    before = first_line[: written.start()].split() if written else []
    return bool(set(before) - {"export", "default", "async", "declare"}) and _is_script(row.path)


def _is_script(path: str) -> bool:
    return _EXPORTED_BY_WORD.get(path[path.rfind(".") :]) == "export"


def _kind(row: SymbolLocation, line_before: str, first_line: str) -> str:
    """Return whether what uses a function may be elsewhere: `decorated`, `visible`, or not (`hidden`)."""
    if (
        row.signature.startswith(_ANNOTATED)
        or line_before.lstrip().startswith(_ANNOTATED)
        or line_before.strip() == ")"
    ):
        return "decorated"
    name, suffix = short_name(row.name), row.path[row.path.rfind(".") :]
    if name.startswith("_") or suffix in _SCRIPTS or _PRIVATE.search(row.signature):
        return "hidden"
    if suffix == ".go":
        return "visible" if name[:1].isupper() and "internal/" not in row.path else "hidden"
    if word := _EXPORTED_BY_WORD.get(suffix):
        return "visible" if re.match(rf"\s*{word}\b(?!\s*\()", first_line) else "hidden"
    return "hidden" if "." in row.name else "visible"
