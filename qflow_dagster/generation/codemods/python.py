"""Codemods of Python for single expressions and declarations."""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import indent_of, is_docstring, newline, on_line_of, step
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_defaults import fields_of
from qflow_dagster.generation.preconditions.python_syntax import (
    bindings,
    class_of,
    function_of,
    node_of,
)


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
    if first is None or on_line_of(file, function, first):
        return "the body is on the line of its def"
    name, default = named_children(parameter)[0].text(), file.text[match.start : match.end]
    if "\n" in default:
        return "the default is written on several lines"
    indent = indent_of(file, first)
    lines = (
        f"{indent}if {name} is None:{newline(file)}{indent}{step(indent)}{name} = {default}{newline(file)}"
    )
    at = file.source.starts[file.source.line_of(span_of(first)[0]) - 1]
    if is_docstring(first):
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


def aware_time(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``datetime.now(timezone.utc)`` for ``datetime.utcnow()``, and so for ``utcfromtimestamp(t)``."""
    call = node_of(file, match, "call")
    if call is None:
        return "the call was not understood"
    function, arguments = named_children(call)
    owner, method = named_children(function)
    values = [argument.text() for argument in named_children(arguments)]
    if len(values) > 1 or any(child.kind() == "keyword_argument" for child in named_children(arguments)):
        return "the call has other arguments"
    zone = "datetime.timezone.utc" if owner.text() == "datetime.datetime" else "timezone.utc"
    name = "fromtimestamp" if values else "now"
    edits = [Edit(span_of(method)[0], span_of(call)[1], f"{name}({', '.join([*values, zone])})")]
    if owner.text() == "datetime.datetime":
        return edits
    bound = bindings(file)
    imported = re.search(
        r"^(from datetime import (?!\()[^\n#\\;*]*?datetime)(?=[ \t]*(,|\r?$))", file.text, re.M
    )
    if re.search(r"^from datetime import [^\n#]*\btimezone\b(?! as)", file.text, re.M):
        return edits if len(bound.get("timezone", ())) == 1 else "`timezone` is bound more than once"
    if imported is None or "timezone" in bound or len(bound.get("datetime", ())) != 1:
        return "`timezone` cannot be imported beside `datetime`"
    return [Edit(imported.end(1), imported.end(1), ", timezone"), *edits]


CODEMODS: dict[str, EditsOf] = {
    "python/bare-except": bare_except,
    "python/duplicate-class-field": duplicate_field,
    "python/logging-with-f-string": lazy_logging,
    "python/mutable-default": mutable_default,
    "python/utcfromtimestamp": aware_time,
    "python/utcnow": aware_time,
}
