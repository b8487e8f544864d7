"""Codemods of JavaScript and TypeScript for bugs: lost escapes, zeros on a page, callbacks that are called twice."""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import javascript_scopes as scopes
from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File

# Escapes that mean something in a regular expression, and nothing (or a backspace) in a text.
_LOST = "dDsSwWbB.+*?()[]{}|^$"
# Statements that compute what the callback gets.
_PASSED = ("lexical_declaration", "variable_declaration", "comment")
_CLOCK = re.compile(r"(?<![A-Za-z\[])(h{1,2})(:mm)")
_HALF_OF_DAY = re.compile(r"""(?i)['"`] ?(a|am|pm) ?['"`]|meridie|use12hours""")


def compared_length(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``items.length > 0 && <List />`` for ``items.length && <List />``."""
    left = file.innermost((match.start, match.end)).field("left")
    operator = left.field("operator") if left is not None and left.kind() == "binary_expression" else None
    if left is not None and operator is not None and operator.text() == "&&":
        left = left.field("right")
    if left is None or left.kind() != "member_expression" or "?." in left.text():
        return "what is counted may be undefined"
    if any(node.text() == "length" for node in _own_properties(file)):
        return "the file has a length of its own, which may be a text"
    end = span_of(left)[1]
    return [Edit(end, end, " > 0")]


def _own_properties(file: File) -> list[SgNode]:
    """Return the names that the objects, classes and types of a file define."""
    kinds = ("pair", "method_definition", "field_definition")
    typed = ("pair", "method_definition", "public_field_definition", "property_signature")
    nodes = of_kinds(file.root, kinds if file.language == "javascript" else typed)
    names = [node.field("key") or node.field("name") or node.field("property") for node in nodes]
    return [name for name in names if name is not None]


def escaped(file: File, match: Match) -> list[Edit] | str | None:
    r"""Write ``new RegExp("\\.js$")`` for ``new RegExp("\.js$")``, in which the backslash is lost."""
    start, text = match.start, file.text[match.start : match.end]
    code = {
        span_of(part)[0]: span_of(part)[1] for part in of_kinds(file.node(match), ("template_substitution",))
    }
    edits, in_class, harm, at = [], False, False, 1
    while at < len(text) - 1:
        if start + at in code:
            at = code[start + at] - start
            continue
        character = text[at]
        if character == "\\":
            following = text[at + 1]
            if following == "\\":
                # What two backslashes escape is one character of the regular expression.
                at += 3
                continue
            if text[0] == "`" and text.startswith("${", at + 1):
                return "the backslash keeps a template from filling in a value"
            if following in _LOST:
                # In brackets, both are a backspace.
                harm |= not in_class or (following.isalpha() and following != "b")
                edits.append(Edit(start + at, start + at, "\\"))
            at += 2
            continue
        if character in "[]":
            in_class = character == "["
        at += 1
    if not harm:
        return "the characters mean themselves without the backslash, too"
    if scopes.declared(file.root, "RegExp"):
        return "the file declares a RegExp of its own"
    return edits


def returned(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``return callback(error)`` for ``callback(error)``, after which it is called again."""
    callback = file.captured(match, "CB") or ""
    function = _function_of(file, match)
    if function is not None and any(child.kind() in ("async", "*") for child in function.children()):
        return "the function returns something else"
    if re.search(rf"\b{re.escape(callback)}\s*=[^=>]", file.text):
        return f"{callback} is assigned, perhaps to what is called once"
    called = re.compile(rf"\b{re.escape(callback)}\(")
    return _returned(file, match, re.compile(rf"(return\s+)?{re.escape(callback)}\("), called)


def answered(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``return res.status(404).end()`` for ``res.status(404).end()``, after which it answers again."""
    answer = file.text[match.start : match.end].partition(".")[0]
    function = _function_of(file, match)
    if function is not None and any(child.kind() == "*" for child in function.children()):
        return "the function returns something else"
    parameters = function.field("parameters") if function is not None else None
    if parameters is None or not re.search(r"\breq(uest)?\b", parameters.text()):
        return "it is not known to be the handler of a request"
    if "headersSent" in file.text:
        return "the file looks whether an answer was sent"
    return _returned(
        file, match, re.compile(rf"(return\s+)?(await\s+)?{answer}\b"), re.compile(rf"\b{answer}\b")
    )


def _function_of(file: File, match: Match) -> SgNode | None:
    ancestors = file.innermost((match.start, match.end)).ancestors()
    return next((outer for outer in ancestors if outer.kind() in scopes.FUNCTIONS), None)


def _returned(
    file: File, match: Match, again: re.Pattern[str], used: re.Pattern[str]
) -> list[Edit] | str | None:
    """Return the edit that ends a function with a call in a branch, if what follows only does the same `again`."""
    call, function = file.innermost((match.start, match.end)), _function_of(file, match)
    body = function.field("body") if function is not None else None
    if function is None or body is None or body.kind() != "statement_block":
        return "it is not in a function with a body"
    if function.field("return_type") is not None:
        return "the function returns something else"
    branch = next((outer for outer in call.ancestors() if outer.kind() == "if_statement"), None)
    block = branch.parent() if branch is not None else None
    if branch is None or block is None or span_of(block) != span_of(body):
        return "it is not in a condition of the function itself"
    after = [part for part in named_children(body) if span_of(part)[0] >= span_of(branch)[1]]
    if not any(again.match(part.text()) for part in after):
        return "it may not happen again"
    for part in after:
        if part.kind() not in _PASSED and not used.search(part.text()):
            return f"line {file.source.line_of(span_of(part)[0])} would not happen"
    for statement in of_kinds(body, ("return_statement",)):
        own = next((outer for outer in statement.ancestors() if outer.kind() in scopes.FUNCTIONS), None)
        values = named_children(statement)
        if (
            own is not None
            and span_of(own) == span_of(function)
            and values
            and not again.match(statement.text())
        ):
            return "the function returns other values"
    return [Edit(match.start, match.start, "return ")]


def position_compared(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``if (name.indexOf("beta") !== -1)`` for ``if (name.indexOf("beta"))``."""
    return [Edit(match.end, match.end, " !== -1")]


def day_of_24_hours(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``HH:mm`` for ``hh:mm`` where nothing says whether it is before or after noon."""
    if not re.search(r"""['"](moment(-timezone)?|dayjs|luxon|date-fns(/format)?)['"]""", file.text):
        return "the library that formats the date is not imported here"
    if _HALF_OF_DAY.search(file.text):
        return "a text of the file may say whether it is before or after noon"
    text = file.text[match.start : match.end]
    return [
        Edit(match.start + at.start(1), match.start + at.end(1), at[1].upper())
        for at in _CLOCK.finditer(text)
    ]


CODEMODS: dict[str, EditsOf] = {
    "javascript/answered-twice": answered,
    "javascript/callback-called-twice": returned,
    "javascript/index-as-condition": position_compared,
    "javascript/length-on-page": compared_length,
    "javascript/lost-escape": escaped,
    "javascript/twelve-hours": day_of_24_hours,
}
