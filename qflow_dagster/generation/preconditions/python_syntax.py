"""Python's syntax tree as preconditions read it: scopes, bindings of names, expressions without effect.

The tree is tree-sitter's, so that Python newer than the interpreter's is read as well. Where it is unclear what
code means, these functions answer that the condition does not hold.
"""

from collections.abc import Iterator
from functools import lru_cache

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File

FUNCTIONS = ("function_definition", "lambda")
COMPREHENSIONS = (
    "list_comprehension",
    "set_comprehension",
    "dictionary_comprehension",
    "generator_expression",
)
# What reads local variables without naming them.
_REFLECTION = {"locals", "vars", "eval", "exec", "globals", "dir", "_getframe", "currentframe", "stack"}


def node_of(file: File, match: Match, *kinds: str) -> SgNode | None:
    """Return the node of one of these kinds that a match covers, or else the nearest one around the match."""
    covered = file.node(match)
    inner: SgNode | None = covered
    while inner is not None:
        if inner.kind() in kinds:
            return inner
        inner = next((child for child in named_children(inner) if span_of(child) == span_of(covered)), None)
    return next((outer for outer in covered.ancestors() if outer.kind() in kinds), None)


def names_in(node: SgNode) -> set[str]:
    """Return the identifiers in a node, attributes too."""
    return {identifier.text() for identifier in of_kinds(node, ("identifier",))}


def function_of(node: SgNode) -> SgNode | None:
    """Return the function, or lambda, that a node is part of."""
    return next((outer for outer in node.ancestors() if outer.kind() in FUNCTIONS), None)


def class_of(node: SgNode) -> SgNode | None:
    """Return the class whose body a node is directly part of, methods excluded."""
    outer = next(
        (outer for outer in node.ancestors() if outer.kind() in (*FUNCTIONS, "class_definition")), None
    )
    return outer if outer is not None and outer.kind() == "class_definition" else None


def unwrapped(node: SgNode) -> SgNode:
    """Return a node without the parentheses around it."""
    while node.kind() == "parenthesized_expression" and len(named_children(node)) == 1:
        node = named_children(node)[0]
    return node


def called(node: SgNode) -> str:
    """Return the text of what a call calls; empty for another node."""
    function = node.field("function") if node.kind() == "call" else None
    return function.text() if function is not None else ""


def in_try(node: SgNode) -> bool:
    """Return whether a node is in a `try` block, or a `with`, of its function: both may handle what it raises."""
    inner = node
    for outer in node.ancestors():
        if outer.kind() in FUNCTIONS:
            return False
        if outer.kind() == "with_statement" and inner.kind() == "block":
            return True
        if outer.kind() == "try_statement" and inner.kind() == "block":
            return True
        inner = outer
    return False


def reads_locals(node: SgNode) -> bool:
    """Return whether code may read local variables without naming them."""
    return bool(_REFLECTION & names_in(node))


def is_literal(node: SgNode) -> bool:
    """Return whether an expression is a constant, or a display of constants."""
    node = unwrapped(node)
    kind = node.kind()
    if kind in ("integer", "float", "true", "false", "none", "ellipsis"):
        return True
    if kind == "string":
        return not bool(of_kinds(node, ("interpolation",)))
    if kind == "unary_operator":
        return named_children(node)[0].kind() in ("integer", "float")
    if kind in ("concatenated_string", "tuple", "list", "set", "dictionary", "pair"):
        return all(is_literal(child) for child in named_children(node))
    return False


def is_total(node: SgNode) -> bool:
    """Return whether evaluating an expression has no effect and cannot fail; names are expected to be bound."""
    node = unwrapped(node)
    if node.kind() in ("identifier", "lambda") or is_literal(node):
        return True
    if node.kind() in ("tuple", "list", "expression_list"):
        return all(is_total(child) for child in named_children(node))
    return False


def is_chain(node: SgNode) -> bool:
    """Return whether an expression is a name, or attributes of one (a.b.c)."""
    while node.kind() == "attribute":
        node = named_children(node)[0]
    return node.kind() == "identifier"


@lru_cache(maxsize=16)
def bindings(file: File) -> dict[str, list[SgNode]]:
    """Return where a file binds each name, in any scope; `*` has the imports of everything."""
    bound: dict[str, list[SgNode]] = {}
    for target in _targets(file.root):
        for name in [target] if target.kind() == "wildcard_import" else of_kinds(target, ("identifier",)):
            outer = name.parent()
            inside = (
                outer is not None
                and outer.kind() in ("attribute", "subscript")
                and span_of(outer) != span_of(target)
            )
            if not inside:
                bound.setdefault(name.text(), []).append(name)
    return bound


def _targets(root: SgNode) -> Iterator[SgNode]:
    for node in of_kinds(
        root,
        (
            "assignment",
            "augmented_assignment",
            "for_statement",
            "for_in_clause",
        ),
    ):
        left = node.field("left")
        if left is not None and left.kind() not in ("attribute", "subscript"):
            yield left
    for node in of_kinds(
        root,
        (
            "named_expression",
            "function_definition",
            "class_definition",
        ),
    ):
        name = node.field("name")
        if name is not None:
            yield name
    for node in of_kinds(
        root,
        (
            "parameters",
            "lambda_parameters",
        ),
    ):
        for parameter in named_children(node):
            # The name comes first; the rest are annotation and default.
            yield (
                parameter
                if parameter.kind() == "identifier"
                else (named_children(parameter) or [parameter])[0]
            )
    for node in of_kinds(
        root,
        (
            "as_pattern_target",
            "wildcard_import",
            "global_statement",
            "case_pattern",
        ),
    ):
        yield node
    for node in of_kinds(
        root,
        (
            "import_statement",
            "import_from_statement",
            "future_import_statement",
        ),
    ):
        module = node.field("module_name")
        for imported in named_children(node):
            if module is None or span_of(imported) != span_of(module):
                yield imported.field("alias") or (named_children(imported) or [imported])[0]


def shadowed(file: File, *names: str) -> str | None:
    """Return why one of these builtin names may mean something else in the file."""
    bound = bindings(file)
    for name in names:
        if name in bound:
            return f"`{name}` is a name of this file here, not the builtin"
    return "an import of * may bind any name" if "*" in bound and names else None
