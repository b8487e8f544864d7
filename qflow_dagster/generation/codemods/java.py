"""Codemods of Java."""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import indent_of, newline
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File

_MARK = re.compile(r"%[sd]")
# What ends with an exception where the thread is interrupted.
_WAITS = re.compile(
    r"\b(join|sleep|wait|take|put|get|await\w*|acquire|poll|offer|lockInterruptibly|invokeAll)\("
)
_LOOPS = ("while_statement", "do_statement", "for_statement", "enhanced_for_statement")
_BODIES = ("method_declaration", "constructor_declaration", "lambda_expression", "static_initializer")


def volatile(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``volatile C c;`` for ``C c;``."""
    type_ = file.innermost((match.start, match.end)).field("type")
    if type_ is None:
        return "the declaration was not understood"
    start, _ = span_of(type_)
    return [Edit(start, start, "volatile ")]


def interrupted(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``Thread.currentThread().interrupt();`` before the exception that is thrown for an interruption."""
    clause = file.innermost((match.start, match.end))
    for outer in clause.ancestors():
        if outer.kind() in _LOOPS:
            return "what catches the exception in the loop may wait again, which would end at once"
        if outer.kind() in _BODIES:
            break
        if outer.kind() == "try_statement" and (waits := _WAITS.search(_finally(outer))):
            return f"{waits[0]}…) after it would end at once"
    method = next((outer for outer in clause.ancestors() if outer.kind() in _BODIES), None)
    name = method.field("name") if method is not None and method.kind() == "method_declaration" else None
    again = _repeated(file.root, name.text()) if name is not None else None
    if again is not None:
        return f"a loop in line {file.source.line_of(span_of(again)[0])} would not wait any more after the exception"
    body = clause.field("body")
    statements = named_children(body) if body is not None else []
    if body is None or not statements or statements[-1].kind() != "throw_statement":
        return "the handler does not end with an exception"
    if "Interrupted" in statements[-1].text():
        return "the interruption is handed on by the exception"
    if not all(_logs(statement) for statement in statements[:-1]):
        return "the handler does something else"
    start, _ = span_of(statements[-1])
    if file.source.line_of(start) == file.source.line_of(span_of(body)[0]):
        return "the handler is written on one line"
    indent = indent_of(file, statements[-1])
    return [Edit(start, start, f"Thread.currentThread().interrupt();{newline(file)}{indent}")]


def _repeated(root: SgNode, method: str) -> SgNode | None:
    """Return a loop of the file that calls a method, catches its exception, and goes on."""
    for call in root.find_all(
        kind="method_invocation", has={"field": "name", "regex": f"^{re.escape(method)}$"}
    ):
        caught = False
        for outer in call.ancestors():
            if outer.kind() in _LOOPS and caught:
                return outer
            if outer.kind() in _BODIES:
                break
            if outer.kind() == "try_statement":
                caught |= any(_goes_on(clause) for clause in outer.find_all(kind="catch_clause"))
    return None


def _goes_on(clause: SgNode) -> bool:
    body = clause.field("body")
    statements = named_children(body) if body is not None else []
    return not statements or statements[-1].kind() not in (
        "return_statement",
        "throw_statement",
        "break_statement",
    )


def _finally(statement: SgNode) -> str:
    return "".join(part.text() for part in named_children(statement) if part.kind() == "finally_clause")


def _logs(statement: SgNode) -> bool:
    """Return whether a statement of a handler only says what happened."""
    called = statement.text().partition("(")[0].lower()
    return statement.kind() == "expression_statement" and any(
        part in called for part in ("log", "system.", "printstack")
    )


def braces(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``log.info("read {}", path)`` for ``log.info("read %s", path)``."""
    text, call = match.captures["TEXT"], file.innermost((match.start, match.end))
    arguments = call.field("arguments")
    values = named_children(arguments)[1:] if arguments is not None else []
    marks = list(_MARK.finditer(file.text[text[0] : text[1]]))
    whole = file.text[text[0] : text[1]]
    if whole.count("%") != len(marks) or "{}" in whole:
        return "the message has other marks"
    # A last value beyond the marks is an exception that is logged with its stack.
    if not len(marks) <= len(values) <= len(marks) + 1:
        return "the message does not have a mark for each value"
    last = values[-1].text() if values else ""
    if len(values) == len(marks) and re.search(
        rf"\b\w*(Exception|Throwable|Error|Failure)\s+{re.escape(last)}\b", file.text
    ):
        return "SLF4J logs an exception that comes last with its stack, not in the message"
    return [Edit(text[0] + mark.start(), text[0] + mark.end(), "{}") for mark in marks]


def quoted_separator(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``path.split(Pattern.quote(File.separator))`` for ``path.split(File.separator)``."""
    start, end = match.captures["SEP"]
    imported = re.search(r"^import java\.util\.regex\.(Pattern|\*);", file.text, re.M)
    return [
        Edit(start, start, f"{'' if imported else 'java.util.regex.'}Pattern.quote("),
        Edit(end, end, ")"),
    ]


def read_fully(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``in.readFully(bytes);`` for ``in.read(bytes);``."""
    for outer in file.innermost((match.start, match.end)).ancestors():
        if outer.kind() in _LOOPS:
            return "a loop may read piece by piece"
        if outer.kind() in _BODIES:
            break
    name = file.innermost((match.start, match.end)).field("name")
    return [Edit(*span_of(name), "readFully")] if name is not None else "the call was not understood"


def per_cents(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``String.format("no %s", name)`` for ``String.format("no {}", name)``."""
    start, end = match.captures["TEXT"]
    arguments = file.innermost((match.start, match.end)).field("arguments")
    values = named_children(arguments)[1:] if arguments is not None else []
    marks = [at.start() + start for at in re.finditer(r"\{\}", file.text[start:end])]
    if len(marks) != len(values):
        return "the text does not have a mark for each value"
    name = re.escape(values[0].text())
    if len(values) == 1 and re.search(rf"(\[\]|\.\.\.)\s*{name}\b|\b{name}\[\]", file.text):
        return "the value may be an array of values"
    return [Edit(mark, mark + 2, "%s") for mark in marks]


def other_operator(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``names != null && names.isEmpty()`` for ``names != null || names.isEmpty()``."""
    operator = file.innermost((match.start, match.end)).field("operator")
    if operator is None:
        return "the condition was not understood"
    return [Edit(*span_of(operator), "&&" if operator.text() == "||" else "||")]


CODEMODS: dict[str, EditsOf] = {
    "java/braces-in-format": per_cents,
    "java/null-check-of-null": other_operator,
    "java/double-checked-locking": volatile,
    "java/interruption-swallowed": interrupted,
    "java/marks-of-format-logged": braces,
    "java/read-not-all": read_fully,
    "java/separator-as-regex": quoted_separator,
}
