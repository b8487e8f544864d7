"""Codemods: changes of Python that no template expresses, as edits of one location.

Belongs here: functions that return the edits of a match, each named after the rule whose finding it fixes, or a
text that says why there are none. Everything else in the file stays byte for byte. Does not belong here: fixes
that are a template (part of the rule) or ruff's, and the conditions of a fix (`preconditions`).
"""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File, named_children, span_of
from qflow_dagster.generation.preconditions.python_defaults import fields_of
from qflow_dagster.generation.preconditions.python_syntax import (
    bindings,
    class_of,
    function_of,
    names_in,
    node_of,
)

# Names for a file that is opened; the first one that the source file does not use is taken.
_FILE_NAMES = ("file", "stream", "opened")


def bare_except(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``except Exception:`` for ``except:``."""
    end = match.start + len("except")
    return [Edit(end, end, " Exception")] if file.text[match.start : end] == "except" else None


def mutable_default(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``x=None`` for ``x=[]``, and make the list at the start of the body."""
    parameter = node_of(file, match, "default_parameter")
    function = function_of(parameter) if parameter is not None else None
    body = function.field("body") if function is not None else None
    if parameter is None or function is None or body is None:
        return "only defaults without an annotation can become None"
    first = named_children(body)[0] if named_children(body) else None
    if first is None or _on_line_of(file, function, first):
        return "the body is on the line of its def"
    name, default = named_children(parameter)[0].text(), file.text[match.start : match.end]
    if "\n" in default:
        return "the default is written on several lines"
    indent = _indent(file, first)
    lines = (
        f"{indent}if {name} is None:{_newline(file)}{indent}{_step(indent)}{name} = {default}{_newline(file)}"
    )
    at = file.source.starts[file.source.line_of(span_of(first)[0]) - 1]
    if _is_docstring(first):
        line = file.source.line_of(span_of(first)[1])
        if line >= len(file.source.starts):
            return "nothing follows the docstring"
        at = file.source.starts[line]
    return [Edit(match.start, match.end, "None"), Edit(at, at, lines)]


def duplicate_field(file: File, match: Match) -> list[Edit] | str | None:
    """Delete the first of two assignments of a class field: the second one counts."""
    second = node_of(file, match, "assignment")
    owner = class_of(second) if second is not None else None
    if second is None or owner is None:
        return "the field was not understood"
    first = fields_of(owner, named_children(second)[0].text())[0]
    line, last = file.source.line_of(span_of(first)[0]), file.source.line_of(span_of(first)[1])
    start, end = file.source.starts[line - 1], file.source.starts[last]
    if file.text[start:end].strip() != first.text():
        return "other code is on its line"
    return [Edit(start, end, "")]


def lazy_logging(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``log.info("read %s", path)`` for ``log.info(f"read {path}")``."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    if len(arguments) != 1 or arguments[0].kind() != "string":
        return "the text is put together from several"
    parts = arguments[0].children()
    opening, closing = parts[0].text(), parts[-1].text()
    if opening.lower() not in ('f"', "f'"):
        return "the text is raw or has several lines"
    format_, values = "", []
    at = span_of(parts[0])[1]
    for part in parts[1:]:
        start, end = span_of(part)
        if part.kind() == "interpolation":
            conversion = next(
                (child.text() for child in part.children() if child.kind() == "type_conversion"), ""
            )
            if conversion not in ("", "!s", "!r") or not _is_plain(part):
                return "a value has a format of its own"
            value = named_children(part)[0]
            if value.kind() in ("yield", "await", "expression_list", "lambda", "named_expression"):
                text = f"({value.text()})" if value.kind() == "expression_list" else ""
                if not text:
                    return f"`{value.text()}` cannot be an argument"
                values.append(text)
            else:
                values.append(value.text())
            format_ += _text(file.text[at:start]) + ("%r" if conversion == "!r" else "%s")
            at = end
        elif part.kind() == "string_end":
            format_ += _text(file.text[at:start])
    if re.search(r"\\[xuUN0-7]", format_):
        return "an escape in the text may stand for %"
    start, end = span_of(arguments[0])
    return [Edit(start, end, ", ".join([f"{closing}{format_}{closing}", *values]))]


def _is_plain(interpolation: SgNode) -> bool:
    """Return whether a value in braces has neither a format nor ``=``."""
    kinds = [child.kind() for child in interpolation.children()]
    return "format_specifier" not in kinds and "=" not in kinds


def _text(part: str) -> str:
    return part.replace("%", "%%").replace("{{", "{").replace("}}", "}")


def read_within(file: File, match: Match) -> list[Edit] | str | None:
    """Close the file of ``return open(p).read()`` and ``x = open(p).read()`` by ``with``."""
    call = node_of(file, match, "call")
    opened = named_children(named_children(call)[0])[0] if call is not None else None
    outer = call.parent() if call is not None else None
    if call is None or opened is None or outer is None:
        return "the call was not understood"
    if outer.kind() == "assignment":
        if named_children(outer)[0].kind() != "identifier" or outer.field("type") is not None:
            return "only a plain variable can be assigned in a block"
        outer = outer.parent()
    if outer is None or outer.kind() not in ("return_statement", "expression_statement"):
        return "it is part of a larger expression, whose order of evaluation would change"
    start, end = span_of(outer)
    line = file.source.line_of(start)
    first = file.source.starts[line - 1]
    last = file.source.starts[line] if line < len(file.source.starts) else len(file.text)
    rest = file.text[end:last].strip()
    if end > last or file.text[first:start].strip() or (rest and not rest.startswith("#")):
        return "it is not a statement on a line of its own"
    names = names_in(file.root)
    name = next((name for name in _FILE_NAMES if name not in names), None)
    if name is None:
        return "every name for the file is taken"
    indent = _indent(file, outer)
    opening = f"with {opened.text()} as {name}:{_newline(file)}{indent}{_step(indent)}"
    return [Edit(start, start, opening), Edit(*span_of(opened), name)]


def aware_now(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``datetime.now(timezone.utc)`` for ``datetime.utcnow()``."""
    call = file.text[match.start : match.end]
    if call == "datetime.datetime.utcnow()":
        return [Edit(match.start, match.end, "datetime.datetime.now(datetime.timezone.utc)")]
    bound = bindings(file)
    edits = [Edit(match.start, match.end, "datetime.now(timezone.utc)")]
    imported = re.search(
        r"^(from datetime import (?!\()[^\n#\\;*]*?datetime)(?=[ \t]*(,|\r?$))", file.text, re.M
    )
    if re.search(r"^from datetime import [^\n#]*\btimezone\b(?! as)", file.text, re.M):
        return edits if len(bound.get("timezone", ())) == 1 else "`timezone` is bound more than once"
    if imported is None or "timezone" in bound or len(bound.get("datetime", ())) != 1:
        return "`timezone` cannot be imported beside `datetime`"
    return [Edit(imported.end(1), imported.end(1), ", timezone"), *edits]


def _indent(file: File, node: SgNode) -> str:
    line = file.text[file.source.starts[file.source.line_of(span_of(node)[0]) - 1] :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(indent: str) -> str:
    """Return one more level of an indentation."""
    if indent.startswith("\t"):
        return "\t"
    return "  " if len(indent) % 4 == 2 else "    "


def _newline(file: File) -> str:
    return "\r\n" if "\r\n" in file.text else "\n"


def _on_line_of(file: File, function: SgNode, statement: SgNode) -> bool:
    line = file.source.line_of(span_of(statement)[0])
    start = file.source.starts[line - 1]
    return bool(file.text[start : span_of(statement)[0]].strip()) or line == file.source.line_of(
        span_of(function)[0]
    )


def _is_docstring(statement: SgNode) -> bool:
    return statement.kind() == "expression_statement" and named_children(statement)[0].kind() in (
        "string",
        "concatenated_string",
    )


CODEMODS: dict[str, EditsOf] = {
    "python/bare-except": bare_except,
    "python/duplicate-class-field": duplicate_field,
    "python/logging-with-f-string": lazy_logging,
    "python/mutable-default": mutable_default,
    "python/open-without-with": read_within,
    "python/utcnow": aware_now,
}
