"""Codemods of JavaScript and TypeScript that write a call as a literal or an operator."""

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import indent_of
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.javascript_text import in_context
from qflow_dagster.generation.preconditions.file import File

# These bind tighter than any operator with two operands.
_PRIMARY = (
    "array",
    "call_expression",
    "class",
    "false",
    "function_expression",
    "identifier",
    "member_expression",
    "new_expression",
    "null",
    "number",
    "object",
    "parenthesized_expression",
    "regex",
    "string",
    "subscript_expression",
    "super",
    "template_string",
    "this",
    "true",
    "undefined",
    "update_expression",
)
# A unary operator may stand at the right of **, and ** itself.
_EXPONENTS = (*_PRIMARY, "unary_expression", "await_expression")
# As the operand of `...` these are read more easily in parentheses.
_LOOSE = ("arrow_function", "assignment_expression", "ternary_expression", "yield_expression")


def array_literal(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``[a, b]`` for ``new Array(a, b)``."""
    inside, values = _arguments(file, match)
    single = [value for value in values if value.kind() != "spread_element"]
    if len(values) > len(single) and len(single) < 2:
        return "the elements may be one number, which is a length"
    return in_context(file, match, [Edit(match.start, match.end, f"[{inside}]")])


def power(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``a ** b`` for ``Math.pow(a, b)``."""
    base, exponent = (_bare(file.innermost(match.captures[name])) for name in ("A", "B"))
    left = base.text() if base.kind() in _PRIMARY else f"({base.text()})"
    right = exponent.text() if _may_follow(exponent) else f"({exponent.text()})"
    return in_context(file, match, [Edit(match.start, match.end, f"{left} ** {right}")])


def spread(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``{ ...a, key: 1 }`` for ``Object.assign({}, a, { key: 1 })``."""
    _, values = _arguments(file, match)
    parts = []
    for value in map(_bare, values):
        text = value.text()
        if value.kind() != "object":
            parts.append(f" ...{f'({text})' if value.kind() in _LOOSE else text} ")
        elif "__proto__" in text or any(
            child.text().startswith(("get ", "set ")) for child in named_children(value)
        ):
            return "such a property means something else in the new object"
        elif any(span_of(value)[0] < comment < span_of(value)[1] for comment, _ in file.comments):
            return "there are comments between the properties"
        else:
            parts.append(text[1:-1].rstrip().removesuffix(",") + text[1:-1][len(text[1:-1].rstrip()) :])
    full = [part for part in parts if part.strip()]
    lines = next((part for part in full if "\n" in part), None)
    if lines is None:
        text = f"{{ {', '.join(part.strip() for part in full)} }}" if full else "{}"
        return in_context(file, match, [Edit(match.start, match.end, text)])
    closing = lines[len(lines.rstrip()) :]
    if closing.rpartition("\n")[2] != indent_of(file, file.innermost((match.start, match.end))):
        return "the properties are not indented like the statement"
    before = lines[: len(lines) - len(lines.lstrip())]
    inner = f",{before}".join(part.strip() for part in full)
    return in_context(file, match, [Edit(match.start, match.end, f"{{{before}{inner},{closing}}}")])


def _arguments(file: File, match: Match) -> tuple[str, list[SgNode]]:
    """Return the text between the parentheses of a call, and its arguments."""
    call = file.innermost((match.start, match.end))
    arguments = call.field("arguments")
    return ("", []) if arguments is None else (arguments.text()[1:-1], named_children(arguments))


def _bare(node: SgNode) -> SgNode:
    while (
        node.kind() == "parenthesized_expression" and named_children(node)[0].kind() != "sequence_expression"
    ):
        node = named_children(node)[0]
    return node


def _may_follow(node: SgNode) -> bool:
    operator = node.field("operator") if node.kind() == "binary_expression" else None
    return node.kind() in _EXPONENTS or (operator is not None and operator.text() == "**")


CODEMODS: dict[str, EditsOf] = {
    "javascript/no-array-constructor": array_literal,
    "javascript/object-assign-spread": spread,
    "javascript/prefer-exponent": power,
}
