"""Whether values that Python keeps between calls, or in a class, are only read."""

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_syntax import (
    called,
    class_of,
    function_of,
    is_literal,
    names_in,
    node_of,
    reads_locals,
    shadowed,
)

# Builtin functions that read a collection and keep no reference to it.
_READERS = {
    "len",
    "list",
    "tuple",
    "set",
    "dict",
    "frozenset",
    "sorted",
    "sum",
    "min",
    "max",
    "any",
    "all",
    "bool",
}
_READERS |= {"str", "repr", "print"}
_READING_METHODS = {"get", "keys", "items", "index", "count", "copy", "isdisjoint", "issubset", "issuperset"}
_PLAIN_DECORATORS = {"staticmethod", "classmethod", "property"}
_PLAIN_BASES = {"object", "Exception", "ValueError", "TypeError", "RuntimeError", "KeyError", "OSError"}


def default_only_read(file: File, match: Match, argument: None) -> str | None:
    """Check that no call sees what another call has done to a mutable default, or to another one of the function."""
    parameter = node_of(file, match, "default_parameter")
    function = function_of(parameter) if parameter is not None else None
    if parameter is None or function is None or function.kind() == "lambda":
        return "only defaults without an annotation, of functions, can become None"
    if reason := _reason_to_keep(file, function, parameter):
        return reason
    for other in _defaults_of(function):
        value, name = other.field("value"), other.field("name")
        if value is None or name is None or not _is_mutable(value):
            continue
        annotated = other.kind() == "typed_default_parameter"
        reason = "it has an annotation" if annotated else _reason_to_keep(file, function, other)
        if reason:
            return f"the default of `{name.text()}` would stay: {reason}"
    return None


def _defaults_of(function: SgNode) -> list[SgNode]:
    parameters = function.field("parameters")
    kinds = ("default_parameter", "typed_default_parameter")
    return [] if parameters is None else [node for node in named_children(parameters) if node.kind() in kinds]


def _is_mutable(value: SgNode) -> bool:
    return value.kind() in ("list", "dictionary", "set") or called(value) in ("list", "dict", "set")


def _reason_to_keep(file: File, function: SgNode, parameter: SgNode) -> str | None:
    default, name = parameter.field("value"), parameter.field("name")
    if default is None or name is None:
        return "the default was not understood"
    made_by = called(default)
    if made_by and (made_by not in ("list", "dict", "set") or named_children(named_children(default)[-1])):
        return "the default reads names when the function is defined"
    if made_by and shadowed(file, made_by):
        return shadowed(file, made_by)
    if not made_by and not is_literal(default):
        return "the default reads names when the function is defined"
    decorated = function.parent()
    if decorated is not None and decorated.kind() == "decorated_definition":
        decorators = {
            child.text().lstrip("@ ") for child in named_children(decorated) if child.kind() == "decorator"
        }
        if decorators - _PLAIN_DECORATORS:
            return "a decorator may read the default"
    if {"__defaults__", "signature", "getfullargspec", "getargspec"} & names_in(file.root):
        return "the default may be read by reflection"
    body = function.field("body")
    if body is None or reads_locals(function):
        return "local variables may be read by their text"
    if any("type:" in comment.text() for comment in of_kinds(function, ("comment",))):
        return "a type comment says what the default is"
    uses = [node for node in of_kinds(body, ("identifier",)) if node.text() == name.text()]
    return next(filter(None, (_reason_against(file, node) for node in uses)), None)


def _reason_against(file: File, use: SgNode) -> str | None:
    parent = use.parent()
    kept = f"calls share what `{use.text()}` holds: a cache or a counter would no longer work"
    if parent is None:
        return kept
    kind = parent.kind()
    if kind in ("keyword_argument", "attribute") and span_of(named_children(parent)[-1]) == span_of(use):
        # Only the name of an argument, or of an attribute of something else.
        return None if kind == "attribute" or span_of(named_children(parent)[0]) == span_of(use) else kept
    if kind in ("for_statement", "for_in_clause"):
        right = parent.field("right")
        return None if right is not None and span_of(right) == span_of(use) else kept
    if kind == "comparison_operator":
        operators = {child.text() for child in parent.children() if not child.is_named()}
        return None if operators <= {"in", "not in"} else f"`{use.text()}` is compared, perhaps with None"
    if kind in (
        "list_splat",
        "dictionary_splat",
        "not_operator",
        "if_statement",
        "while_statement",
        "interpolation",
    ):
        return None
    if kind == "argument_list":
        call = parent.parent()
        function = called(call) if call is not None else ""
        return None if function in _READERS and not shadowed(file, function) else kept
    if kind == "attribute":
        outer = parent.parent()
        reads = (
            named_children(parent)[-1].text() in _READING_METHODS
            and outer is not None
            and outer.kind() == "call"
        )
        return None if reads else kept
    if kind == "subscript" and span_of(named_children(parent)[0]) == span_of(use):
        outer = parent.parent()
        written = outer is not None and outer.kind() in (
            "assignment",
            "augmented_assignment",
            "delete_statement",
        )
        left = outer.field("left") if outer is not None else None
        return kept if written and (left is None or span_of(left) == span_of(parent)) else None
    return kept


def first_field_unused(file: File, match: Match, argument: None) -> str | None:
    """Check that nothing reads the first of two values of a class field."""
    second = node_of(file, match, "assignment")
    owner = class_of(second) if second is not None else None
    if second is None or owner is None:
        return "the field was not understood"
    outer, bases = owner.parent(), owner.field("superclasses")
    if outer is not None and outer.kind() == "decorated_definition":
        return "a decorator of the class may look at the order of its fields"
    if bases is not None and {base.text() for base in named_children(bases)} - _PLAIN_BASES:
        return "a base class may look at the fields as they are defined"
    fields = fields_of(owner, named_children(second)[0].text())
    if len(fields) != 2 or any(field.field("type") is not None for field in fields):
        return "the field is defined more than twice, or with an annotation"
    value = fields[0].field("right")
    if value is None or not is_literal(value) or named_children(fields[0])[0].kind() != "identifier":
        return "computing the first value may have an effect"
    name = named_children(second)[0].text()
    for node in of_kinds(owner, ("identifier",)):
        between = span_of(fields[0])[1] <= span_of(node)[0] < span_of(fields[1])[0]
        in_second = span_of(fields[1])[0] < span_of(node)[0] < span_of(fields[1])[1]
        if node.text() == name and (between or in_second):
            return f"`{name}` is read before it is defined again"
    return None


def fields_of(owner: SgNode, name: str) -> list[SgNode]:
    """Return the assignments of a name directly in the body of a class, in order."""
    body = owner.field("body")
    statements = (
        [child for child in named_children(body) if child.kind() == "expression_statement"] if body else []
    )
    assignments = [named_children(statement)[0] for statement in statements if named_children(statement)]
    return [
        node for node in assignments if node.kind() == "assignment" and named_children(node)[0].text() == name
    ]
