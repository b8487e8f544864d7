"""Preconditions of Python about what was meant: what else the file does shows that only one reading makes sense."""

import ast
import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.meant import reason_for_beginning
from qflow_dagster.generation.preconditions.python_classes import unknown
from qflow_dagster.generation.preconditions.python_modules import qualified
from qflow_dagster.generation.preconditions.python_syntax import (
    bindings,
    function_of,
    in_try,
    is_chain,
    names_in,
    node_of,
    reads_locals,
    unwrapped,
)

# What has a whole word as its value, by its name.
_KIND = re.compile(
    r"(?i)(type|name|method|status|kind|platform|state|action|command|event|provider|protocol|scheme)$"
)
_CLOCKS = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.now",
    "datetime.utcnow",
    "django.utils.timezone.now",
}
# Parameters that are meant to keep when the program began.
_BEGINNING = re.compile(r"(?i)start|begin|since|boot|launch|epoch|seed|t0|loaded|created")
_DAY_BEGINS = re.compile(r"(?i)epoch|midnight|\bdatetime\(\s*\d|hour\s*=\s*0|\.min\b")
_PLAIN_DECORATORS = {"staticmethod", "classmethod"}
# Libraries whose fields call what they are given as a default.
_WITH_CALLABLES = re.compile(
    r"(?m)^[ \t]*(?:from|import)\s+(sqlalchemy|flask_sqlalchemy|django|peewee|mongoengine|wtforms|tortoise)\b"
)


def meant_as_tuple(file: File, match: Match, argument: None) -> str | None:
    """Check that what is sought in a text in parentheses is compared as a whole word, here or by its name."""
    comparison = node_of(file, match, "comparison_operator")
    asked = file.innermost(match.captures["X"])
    if comparison is None:
        return "the comparison was not understood"
    evidence = False
    for other in of_kinds(file.root, ("comparison_operator",)):
        operands = named_children(other)
        if span_of(other) == span_of(comparison) or len(operands) != 2 or operands[0].text() != asked.text():
            continue
        words = _compared_texts(other, operands[1])
        if any(len(word) == 1 for word in words):
            return f"`{asked.text()}` is compared with single characters"
        evidence |= bool(words)
    last = re.split(r"\W+", asked.text().rstrip(")]'\" ").removesuffix("("))[-1]
    word = (file.captured(match, "S") or "").strip("\"'")
    named = _KIND.search(last) and word.islower() and len(word) > 3 and not _is_iterated(file, asked)
    if evidence or named or asked.text() in ("sys.platform", "os.name"):
        return None
    return f"`{asked.text()}` may be meant to be a part of the text"


def _compared_texts(comparison: SgNode, other: SgNode) -> list[str]:
    operators = {child.text() for child in comparison.children() if not child.is_named()}
    texts = [other] if operators <= {"==", "!="} else []
    if other.kind() in ("tuple", "list", "set") and not texts:
        texts = named_children(other)
    return [text.text().strip("\"'") for text in texts if text.kind() == "string"]


def _is_iterated(file: File, name: SgNode) -> bool:
    bound = [node.parent() for node in bindings(file).get(name.text(), ())]
    return any(outer is not None and outer.kind() in ("for_statement", "for_in_clause") for outer in bound)


def since_now(file: File, match: Match, argument: None) -> str | None:
    """Check that the time that passed until or since now is meant, and its days are not looked at separately."""
    node = file.node(match)
    outer = function_of(node) or file.root
    sides = [file.innermost(match.captures[side]) for side in ("A", "B")]
    if not any(_is_now(file, side) for side in sides):
        return "it is not known to be the time that passed since then, which may be days"
    if any(_DAY_BEGINS.search(side.text()) for side in sides):
        return "it may be the time of the day"
    if {"combine", "strptime"} & names_in(outer):
        return "times of a day may be compared, which begin again at midnight"
    if re.search(r"\.days\b|\btimedelta\(\s*(days=)?1\s*\)", outer.text()):
        return "the days are looked at separately"
    return None


def _is_now(file: File, node: SgNode) -> bool:
    node = unwrapped(node)
    if node.kind() == "call":
        return qualified(file, named_children(node)[0]) in _CLOCKS
    if node.kind() != "identifier":
        return False
    function = function_of(node)
    bound = [name for name in bindings(file).get(node.text(), ()) if _is_same(function_of(name), function)]
    values = [_assigned(name) for name in bound]
    return bool(values) and all(
        value is not None and value.kind() == "call" and _is_now(file, value) for value in values
    )


def _is_same(one: SgNode | None, other: SgNode | None) -> bool:
    return (one is None) == (other is None) and (
        one is None or other is None or span_of(one) == span_of(other)
    )


def _assigned(name: SgNode) -> SgNode | None:
    parent = name.parent()
    return parent.field("right") if parent is not None and parent.kind() == "assignment" else None


def sought_anywhere(file: File, match: Match, argument: None) -> str | None:
    """Check that a condition on find asks whether a text is there, not whether it is not the beginning."""
    text, sought = (file.innermost(match.captures[name]) for name in ("X", "S"))
    if not is_chain(text) or sought.kind() != "string":
        return "what is sought, and where, is not a name and a text"
    try:
        word = ast.literal_eval(sought.text())
    except (ValueError, SyntaxError):
        return "what is sought is not a plain text"
    word = word.decode("latin-1") if isinstance(word, bytes) else word
    if any(
        _text(function, "name") in ("find", "rfind")
        for function in of_kinds(file.root, ("function_definition",))
    ):
        return "the file defines a find of its own"
    branch = node_of(file, match, "if_statement", "elif_clause", "while_statement")
    body = branch.field("consequence") or branch.field("body") if branch is not None else None
    if body is None:
        return "the branch was not understood"
    return reason_for_beginning(word, text.text(), body.text())


def local_and_read(file: File, match: Match, variable: str) -> str | None:
    """Check that a name is a variable of the function, and is read again after the statement."""
    # Other parts of a pattern may have captured the name elsewhere.
    length = match.captures[variable][1] - match.captures[variable][0]
    node = file.innermost((match.start, match.start + length))
    function = function_of(node)
    if function is None or function.kind() == "lambda" or in_try(node):
        return "it is not known to be a variable of a function, outside of try"
    inside = [name for name in bindings(file).get(node.text(), ()) if _is_same(function_of(name), function)]
    if not inside or any(
        outer.kind() in ("global_statement", "nonlocal_statement")
        for name in inside
        for outer in name.ancestors()
    ):
        return f"`{node.text()}` is not a variable of this function"
    later = [use for use in of_kinds(function, ("identifier",)) if span_of(use)[0] >= match.end]
    method = file.text[match.start + length + 1 :].partition("(")[0]
    if any(_text(other, "name") == method for other in of_kinds(file.root, ("function_definition",))):
        return f"the file defines a {method} of its own"
    if not any(use.text() == node.text() and not _is_bound(use) for use in later):
        return f"nothing reads `{node.text()}` afterwards"
    # Of the others, classes of texts that can be changed have methods as well.
    return None if method == "replace" else unknown(file, [node], {"str", "bytes"})


def _is_bound(use: SgNode) -> bool:
    parent = use.parent()
    left = (
        parent.field("left")
        if parent is not None and parent.kind() in ("assignment", "for_statement")
        else None
    )
    return left is not None and span_of(left) == span_of(use)


def computed_at_call(file: File, match: Match, argument: None) -> str | None:
    """Check that a default that is a time can be None until the call, and does not keep when the program began."""
    parameter = node_of(file, match, "default_parameter", "typed_default_parameter")
    function = function_of(parameter) if parameter is not None else None
    name = parameter.field("name") if parameter is not None else None
    if parameter is None or function is None or name is None or parameter.kind() != "default_parameter":
        return "only defaults without an annotation, of functions, can become None"
    if _BEGINNING.search(name.text()):
        return f"`{name.text()}` may be meant to keep when the program began"
    decorated = function.parent()
    if decorated is not None and decorated.kind() == "decorated_definition":
        decorators = {c.text().lstrip("@ ") for c in named_children(decorated) if c.kind() == "decorator"}
        if decorators - _PLAIN_DECORATORS:
            return "a decorator may read the default"
    if re.search(rf"\b{re.escape(_text(function, 'name'))}\([^()]*\bNone\b", file.text):
        return "it is called with None"
    body = function.field("body")
    root = file.text[match.start : match.end].partition(".")[0]
    inside = [bound for bound in bindings(file).get(root, ()) if _is_same(function_of(bound), function)]
    if body is None or inside or root == name.text() or reads_locals(function):
        return f"`{root}` means something else in the function"
    own = rf"\b{re.escape(name.text())}\b"
    asked = rf"{own}\s+(is|and|or|if)\b|\b(if|not|and|or|while)\s+{own}(?!\s*[-+<>=!.])"
    if re.search(asked, body.text()):
        return f"`{name.text()}` may be None already"
    return None


def default_may_be_called(file: File, match: Match, argument: None) -> str | None:
    """Check that the field is one of a library that calls its default, in the body of a class."""
    call = next((outer for outer in file.node(match).ancestors() if outer.kind() == "call"), None)
    if call is None or not _WITH_CALLABLES.search(file.text):
        return "whether the library calls a default is not known"
    if function_of(call) is not None:
        return "the field is made by a function, perhaps each time"
    return None


def _text(node: SgNode, field: str) -> str:
    found = node.field(field)
    return found.text() if found is not None else ""


PRECONDITIONS: dict[str, Precondition] = {
    "meant-as-tuple": Precondition("the value is compared as a whole", meant_as_tuple),
    "since-now": Precondition("it is the time since, or until, now", since_now),
    "sought-anywhere": Precondition("the text is not meant to begin with what is sought", sought_anywhere),
    "local-and-read": Precondition(
        "the variable is one of the function, and read afterwards", local_and_read, True
    ),
    "computed-at-call": Precondition("the default can be computed in the call", computed_at_call),
    "default-may-be-called": Precondition("the field calls its default", default_may_be_called),
}
