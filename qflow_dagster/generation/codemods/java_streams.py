"""A codemod of Java that closes the stream of a folder or file: `try (Stream<Path> paths = Files.walk(folder)) {}`."""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import indent_of, newline
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File

_STREAM = "java.util.stream.Stream"
_INTERMEDIATE = {
    *("filter", "map", "mapToInt", "mapToLong", "flatMap", "distinct", "sorted", "peek", "limit", "skip"),
    *("parallel", "sequential", "unordered", "takeWhile", "dropWhile", "mapToObj", "boxed"),
}
# After these, nothing of the stream is read any more.
_TERMINAL = {
    *("forEach", "forEachOrdered", "collect", "count", "toList", "toArray", "reduce", "min", "max", "sum"),
    *("anyMatch", "allMatch", "noneMatch", "findFirst", "findAny"),
}
_NAMES = {
    "lines": ("lines", "String"),
    "walk": ("paths", "Path"),
    "list": ("paths", "Path"),
    "find": ("paths", "Path"),
}


def closed(file: File, match: Match) -> list[Edit] | str | None:
    """Write a statement that reads `Files.walk(...)` to its end into a `try` that closes the stream."""
    statement = file.innermost((match.start, match.end))
    chain = _chain(statement)
    if not chain:
        return "the statement was not understood"
    names = [_text(call, "name") for call in chain]
    end = next((at for at, name in enumerate(names[1:], 1) if name not in _INTERMEDIATE), None)
    if end is None or names[end] not in _TERMINAL:
        return "the stream may be read after the statement"
    name, element = _NAMES[names[0]]
    if re.search(rf"(?<!\.)\b{name}\b", file.text):
        return f"`{name}` is a name of the file"
    if "\n" in statement.text() and '"""' in statement.text():
        return "the lines of a text would be moved"
    if file.source.line_of(match.start) == file.source.line_of(span_of(statement.parent() or statement)[0]):
        return "the block is written on one line"
    start, stop = span_of(chain[0])
    indent, line = indent_of(file, statement), newline(file)
    step = "\t" if "\t" in indent else "  " if len(indent) % 4 else _step(file)
    body = f"{file.text[match.start : start]}{name}{file.text[stop : match.end]}".replace("\n", f"\n{step}")
    body = re.sub(r"(?m)^[ \t]+$", "", body)
    type_, imports = _type(file, element)
    opened = f"try ({type_} {name} = {file.text[start:stop]}) {{{line}{indent}{step}{body}{line}{indent}}}"
    return [*imports, Edit(match.start, match.end, opened)]


def _step(file: File) -> str:
    return (
        "    "
        if re.search(r"(?m)^    \S", file.text) and not re.search(r"(?m)^  [^\s*]", file.text)
        else "  "
    )


def _chain(statement: SgNode) -> list[SgNode]:
    """Return the calls of a statement, `Files.walk(...)` first; empty: it is not one chain."""
    values = named_children(statement)
    calls: list[SgNode] = []
    node = values[0] if len(values) == 1 else None
    while node is not None and node.kind() == "method_invocation":
        calls.insert(0, node)
        node = node.field("object")
    return calls if node is not None and node.text() == "Files" else []


def _type(file: File, element: str) -> tuple[str, list[Edit]]:
    """Return the type of the stream as the file can write it, and the import that it needs."""
    imported = {name.text().removeprefix("import").strip(" ;"): name for name in _imports(file)}
    of = element if element == "String" or {"java.nio.file.Path", "java.nio.file.*"} & set(imported) else ""
    of = of or "java.nio.file.Path"
    if {_STREAM, "java.util.stream.*"} & set(imported):
        return f"Stream<{of}>", []
    before = [node for path, node in imported.items() if path.startswith("java.util.") and path < _STREAM]
    if re.search(r"\bStream\b", file.text) or not before:
        return f"{_STREAM}<{of}>", []
    end = span_of(before[-1])[1]
    return f"Stream<{of}>", [Edit(end, end, f"{newline(file)}import {_STREAM};")]


def _imports(file: File) -> list[SgNode]:
    return [node for node in file.root.find_all(kind="import_declaration") if "static" not in node.text()]


def _text(node: SgNode, field: str) -> str:
    found = node.field(field)
    return found.text() if found is not None else ""


CODEMODS: dict[str, EditsOf] = {"java/stream-of-files-not-closed": closed}
