"""Codemods of JavaScript and TypeScript."""

import difflib

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import indent_of
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.javascript_values import Values

_TYPES = ("undefined", "object", "boolean", "number", "string", "function", "symbol", "bigint")
# How alike a misspelt name of a type must be to the right one, from 0 to 1.
MIN_SIMILARITY = 0.75


def negated_result(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``!(key in object)`` for ``!key in object``."""
    negation, *_, right = named_children(file.innermost((match.start, match.end)))
    if right.kind() == "object":
        return "the object may have the keys true and false"
    operand = named_children(negation)[-1]
    return [Edit(match.start, span_of(operand)[0], "!("), Edit(match.end, match.end, ")")]


def awaited(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``await load()`` for ``load()``."""
    node = file.innermost((match.start, match.end))
    call = named_children(node)[0] if node.kind() == "return_statement" else node
    start = span_of(call)[0]
    return [Edit(start, start, "await ")]


def thrown(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``throw new Error()`` for ``new Error()``."""
    return [Edit(match.start, match.start, "throw ")]


def numeric_order(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``sort((a, b) => a - b)`` for ``sort()``."""
    return [Edit(match.end - 1, match.end - 1, "(a, b) => a - b")]


def radix_of_its_own(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``map((value) => parseInt(value, 10))`` for ``map(parseInt)``."""
    start, end = match.captures["F"]
    return [Edit(start, end, f"(value) => {file.text[start:end]}(value, 10)")]


def separate_cases(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``case 1: case 2:`` on two lines for ``case 1 || 2:``."""
    node = file.innermost((match.start, match.end))
    values = _operands(node)
    if any(value.kind() not in ("string", "number") for value in values):
        return "only constants can be cases of their own"
    newline = "\r\n" if "\r\n" in file.text else "\n"
    separator = f":{newline}{indent_of(file, node)}case "
    return [Edit(match.start, match.end, separator.join(value.text() for value in values))]


def _operands(node: SgNode) -> list[SgNode]:
    if node.kind() != "binary_expression":
        return [node]
    operator = node.field("operator")
    sides = [node.field("left"), node.field("right")]
    if operator is None or operator.text() != "||":
        return [node]
    return [operand for side in sides if side is not None for operand in _operands(side)]


def buffer_from(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``Buffer.from(text)`` or ``Buffer.alloc(10)`` for ``new Buffer(...)``."""
    expression = file.innermost((match.start, match.end))
    arguments = next((child for child in named_children(expression) if child.kind() == "arguments"), None)
    values = named_children(arguments) if arguments is not None else []
    constructor = expression.field("constructor")
    if not values or constructor is None or any(value.kind() == "spread_element" for value in values):
        return "the arguments are not written out"
    kinds = [Values(file.root, file.language).kind(value) for value in values]
    if kinds[0] == "number" and len(values) == 1:
        method = "alloc"
    elif kinds[0] in ("string", "array") or kinds[1:] == ["string"]:
        method = "from"
    else:
        return f"whether {values[0].text()[:40]} is a size or a content is not known"
    return [Edit(match.start, span_of(constructor)[1], f"Buffer.{method}")]


def type_name(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``typeof x === "string"`` for ``typeof x === "strnig"``, and quotes around ``undefined``."""
    start, end = match.captures["T"]
    text = file.text[start:end]
    if text == "undefined":
        quote = "'" if file.text.count("'") > file.text.count('"') else '"'
        return [Edit(start, end, f"{quote}undefined{quote}")]
    word = text[1:-1].lower()
    alike = [word] if word in _TYPES else difflib.get_close_matches(word, _TYPES, 2, MIN_SIMILARITY)
    if len(alike) != 1:
        return f"which type {text} stands for is not known"
    return [Edit(start + 1, end - 1, alike[0])]


def without_opener(file: File, match: Match) -> list[Edit] | str | None:
    """Add ``rel="noopener"`` to a link that opens another window."""
    element = file.innermost((match.start, match.end))
    target = next(
        (
            child
            for child in named_children(element)
            if child.kind() == "jsx_attribute" and child.text().startswith("target")
        ),
        None,
    )
    if target is None:
        return "the attribute was not understood"
    if any(child.text().startswith("rel") for child in named_children(element)):
        return "there is a rel, which has no effect as it is"
    start, end = span_of(target)
    line_start = file.source.starts[file.source.line_of(start) - 1]
    indent = file.text[line_start:start]
    newline = "\r\n" if "\r\n" in file.text else "\n"
    separator = f"{newline}{indent}" if not indent.strip() else " "
    return [Edit(end, end, f'{separator}rel="noopener"')]


def stateless(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``/a/`` for ``/a/g``."""
    flags = of_kinds(file.innermost((match.start, match.end)), ("regex_flags",))
    if len(flags) != 1 or "y" in flags[0].text():
        return "the flags were not understood"
    return [Edit(*span_of(flags[0]), flags[0].text().replace("g", ""))]


CODEMODS: dict[str, EditsOf] = {
    "javascript/case-with-or": separate_cases,
    "javascript/error-not-thrown": thrown,
    "javascript/map-parse-int": radix_of_its_own,
    "javascript/negated-operand": negated_result,
    "javascript/new-buffer": buffer_from,
    "javascript/numbers-sorted-as-text": numeric_order,
    "javascript/promise-as-condition": awaited,
    "javascript/return-without-await": awaited,
    "javascript/stateful-test": stateless,
    "javascript/target-blank": without_opener,
    "javascript/valid-typeof": type_name,
}
