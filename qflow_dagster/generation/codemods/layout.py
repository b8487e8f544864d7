"""Lines and indentation of Python as codemods write them."""

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.generation.preconditions.file import File


def indent_of(file: File, node: SgNode) -> str:
    """Return the indentation of the line that a node begins on."""
    line = file.text[file.source.starts[file.source.line_of(span_of(node)[0]) - 1] :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def step(indent: str) -> str:
    """Return one more level of an indentation."""
    if indent.startswith("\t"):
        return "\t"
    return "  " if len(indent) % 4 == 2 else "    "


def newline(file: File) -> str:
    """Return the line ending of a file."""
    return "\r\n" if "\r\n" in file.text else "\n"


def on_line_of(file: File, function: SgNode, statement: SgNode) -> bool:
    """Return whether a statement is on the line of the def, or behind another one on its line."""
    line = file.source.line_of(span_of(statement)[0])
    start = file.source.starts[line - 1]
    return bool(file.text[start : span_of(statement)[0]].strip()) or line == file.source.line_of(
        span_of(function)[0]
    )


def is_docstring(statement: SgNode) -> bool:
    """Return whether a statement is a text of its own."""
    return statement.kind() == "expression_statement" and named_children(statement)[0].kind() in (
        "string",
        "concatenated_string",
    )


def alone_on_its_lines(file: File, statement: SgNode) -> bool:
    """Return whether no other code is on the lines of a statement."""
    start, end = span_of(statement)
    first = file.source.starts[file.source.line_of(start) - 1]
    line = file.source.line_of(max(start, end - 1))
    last = file.source.starts[line] if line < len(file.source.starts) else len(file.text)
    rest = file.text[end:last].strip()
    return not file.text[first:start].strip() and (not rest or rest.startswith("#"))
