"""Codemods of Python that put values into the messages that they were meant for: f-strings, exceptions, logging."""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_syntax import bindings, called, function_of, node_of

# What a text may hold between braces: names, and attributes of them.
_FIELD = re.compile(r"\{([^{}]*)\}")
_NAMES = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_PERCENT = re.compile(r"%(.)")
_BRACES = re.compile(r"\{(!r)?\}")
# Texts that speak of what is to be filled in.
_ABOUT_BRACES = re.compile(
    r"(?i)placeholder|usage|template|must (have|include)|contain|\bpattern|format string|substitut"
)
_SCOPES = ("block", "module", "for_statement", "for_in_clause", "except_clause", "case_clause", "lambda")
# What an exception was made with, read by those who catch it.
_ARGUMENTS_READ = re.compile(r"\b(e|err|error|ex|exc|exception|exc_value|value)\.args\b")
_PLAIN_PREFIXES = ('"', "'")


def f_string(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``f"no {name}"`` for ``"no {name}"``."""
    string = node_of(file, match, "string")
    function = function_of(string) if string is not None else None
    if string is None or function is None or function.kind() == "lambda":
        return "it is not in a function"
    if not string.text().startswith(_PLAIN_PREFIXES):
        return "the text has a prefix of its own"
    text = string.text()
    fields = _FIELD.findall(text)
    if text.count("{") != len(fields) or text.count("}") != len(fields) or "\\" in text:
        return "it has other braces or escapes"
    roots = set()
    for field in fields:
        if not _NAMES.fullmatch(field):
            return f"{{{field}}} is not a name"
        roots.add(field.partition(".")[0])
    others = [
        part.text()
        for part in of_kinds(_whole(string), ("string",))
        if part.text().startswith(_PLAIN_PREFIXES)
    ]
    roots |= {field.partition(".")[0] for other in others for field in _FIELD.findall(other)}
    if missing := sorted(root for root in roots if not _bound_before(file, function, string, root)):
        return f"`{missing[0]}` has no value here for sure"
    if any(re.search(rf"""(?<!f)['"]\{{{re.escape(field)}\}}['"]|\$\{{""", file.text) for field in fields):
        return "the file fills in such braces itself"
    if _ABOUT_BRACES.search(text) or _fills_in(file, string):
        return "the braces may be meant"
    start, _ = span_of(string)
    return _other_values(string) or [Edit(start, start, "f")]


def _bound_before(file: File, function: SgNode, string: SgNode, name: str) -> bool:
    """Return whether a name is a parameter of the function, or is bound on every way to a text."""
    start, end = span_of(function)
    bound = False
    for node in bindings(file).get(name, ()):
        own = function_of(node)
        if own is None or span_of(own) != (start, end) or _within(node, "global_statement"):
            continue
        scope = next((outer for outer in node.ancestors() if outer.kind() in _SCOPES), None)
        reaches = scope is not None and _contains(scope, string)
        if not reaches and scope is not None and scope.kind() == "except_clause":
            return False
        bound |= reaches and span_of(node)[0] < span_of(string)[0]
    deleted = function.find_all(kind="delete_statement")
    return bound and not any(
        part.text() == name for one in deleted for part in of_kinds(one, ("identifier",))
    )


def _within(node: SgNode, kind: str) -> bool:
    return any(outer.kind() == kind for outer in node.ancestors())


def _contains(outer: SgNode, inner: SgNode) -> bool:
    (start, end), (first, last) = span_of(outer), span_of(inner)
    return start <= first and last <= end


def _whole(string: SgNode) -> SgNode:
    outer = string.parent()
    return outer if outer is not None and outer.kind() == "concatenated_string" else string


def _fills_in(file: File, string: SgNode) -> bool:
    """Return whether a text is given to a class of this file that formats it."""
    call = next((outer for outer in string.ancestors() if outer.kind() == "call"), None)
    return any(
        (name := class_.field("name")) is not None
        and call is not None
        and name.text() == called(call)
        and re.search(r"format|%|template", class_.text()) is not None
        for class_ in of_kinds(file.root, ("class_definition",))
    )


def _other_values(string: SgNode) -> str | None:
    """Return why something else may fill in a text: it is not the only argument of its call."""
    outer = string.parent()
    while outer is not None and outer.kind() in ("concatenated_string", "parenthesized_expression"):
        outer = outer.parent()
    if outer is None or outer.kind() != "argument_list":
        return "the text is not an argument of the call"
    if len(named_children(outer)) != 1:
        return "other arguments may be what is filled in"
    return None


def formatted_message(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``ValueError("no %s" % (name,))`` for ``ValueError("no %s", name)``."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    if len(arguments) < 2:
        return "the call was not understood"
    text, *values = arguments
    if any(value.kind() in ("keyword_argument", "list_splat", "dictionary_splat") for value in values):
        return "not all arguments are values"
    marks = _PERCENT.findall("".join(part.text() for part in of_kinds(text, ("string_content",))))
    if set(marks) - {"s", "r"} or len(marks) != len(values):
        return "the message does not have a place for each value"
    if _ARGUMENTS_READ.search(file.text):
        return "the file reads what exceptions were made with"
    first, last = span_of(text)[1], span_of(values[-1])[1]
    comma = "," if len(values) == 1 else ""
    return [Edit(first, span_of(values[0])[0], " % ("), Edit(last, last, f"{comma})")]


def logging_marks(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``logger.info("read %s", path)`` for ``logger.info("read {}", path)`` and ``logger.info("read", path)``."""
    call = node_of(file, match, "call")
    arguments = named_children(named_children(call)[-1]) if call is not None else []
    if len(arguments) < 2:
        return "the call was not understood"
    text, *values = arguments
    values = [value for value in values if value.kind() != "keyword_argument"]
    if any(value.kind() in ("list_splat", "dictionary_splat", "dictionary") for value in values):
        return "how many values there are is not known"
    if not _formats_by_percent(file, call):
        return "no other call in this file shows that the logger formats by %"
    if text.kind() != "string" or not text.text().startswith(_PLAIN_PREFIXES) or "%" in text.text():
        return "the message is not a plain text"
    if text.text().startswith(('"""', "'''")):
        return "the message is not a plain text"
    start, end = span_of(text)
    braces = [
        (start + found.start(), start + found.end(), found[1]) for found in _BRACES.finditer(text.text())
    ]
    if braces:
        if len(braces) != len(values) or text.text().count("{") != len(braces):
            return "the message does not have a place for each value"
        return [Edit(at, to, "%r" if form else "%s") for at, to, form in braces]
    if "{" in text.text():
        return "the message has other braces"
    inner = text.text()[1:-1]
    if not inner:
        return "there is no message"
    gap = "" if inner.endswith((" ", "(", "=", "'", '"', "[")) else " "
    colon = "" if inner.rstrip().endswith((":", "=", "-", "(", "'", '"', "[", ",", ".", "!")) else ":"
    return [Edit(end - 1, end - 1, f"{colon}{gap}{' '.join(['%s'] * len(values))}")]


def _formats_by_percent(file: File, call: SgNode | None) -> bool:
    """Return whether the file calls the same logger with marks of % and values: a logger may format in its own way."""
    logger = named_children(call)[0].text().rpartition(".")[0] if call is not None else ""
    for other in of_kinds(file.root, ("call",)):
        arguments = named_children(named_children(other)[-1])
        if (
            called(other).rpartition(".")[0] == logger
            and len(arguments) > 1
            and arguments[0].kind() == "string"
        ):
            marks = re.search(r"%[sdrif]", arguments[0].text())
            if marks and arguments[1].kind() != "keyword_argument":
                return True
    return False


CODEMODS: dict[str, EditsOf] = {
    "python/exception-with-format-arguments": formatted_message,
    "python/logging-without-marks": logging_marks,
    "python/missing-f-prefix": f_string,
}
