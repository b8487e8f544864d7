"""Preconditions of Python that need the types of expressions (see `File.type_of`)."""

from collections.abc import Sequence

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_classes import (
    DICTIONARIES,
    NUMBERS,
    PLAIN,
    PRINTABLE,
    REITERABLE,
    shortened,
    types_of,
    unknown,
)
from qflow_dagster.generation.preconditions.python_syntax import (
    COMPREHENSIONS,
    called,
    is_chain,
    is_literal,
    is_total,
    node_of,
    shadowed,
    unwrapped,
)


def _operands(comparison: SgNode) -> list[SgNode]:
    return named_children(comparison)


def plain_equality(file: File, match: Match, argument: None) -> str | None:
    """Check that == with None says whether the value is None."""
    comparison = node_of(file, match, "comparison_operator")
    if comparison is None:
        return "the comparison was not understood"
    operands = _operands(comparison)
    if len(operands) != 2:
        return "several comparisons in a row"
    values = [operand for operand in operands if operand.kind() != "none"]
    types = [types_of(file, value) for value in values]
    if all(classes is not None and classes <= PLAIN for classes in types):
        return None
    foreign = file.surroundings.foreign_equality
    if foreign is None:
        return f"the type of `{shortened(values[0])}` is not known" if values else None
    if foreign:
        return f"the type of `{shortened(values[0])}` is not known, and {foreign}" if values else None
    return None


def compared_are(file: File, match: Match, allowed: Sequence[str]) -> str | None:
    """Check the types of both operands of a comparison."""
    inside = of_kinds(file.node(match), ("comparison_operator",))
    comparison = inside[0] if len(inside) == 1 else node_of(file, match, "comparison_operator")
    if comparison is None or len(_operands(comparison)) != 2:
        return "several comparisons in a row"
    return unknown(file, _operands(comparison), set(allowed))


def same_class(file: File, match: Match, argument: None) -> str | None:
    """Check that a value compared with a literal is of the literal's class, or None."""
    comparison = node_of(file, match, "comparison_operator")
    if comparison is None or len(_operands(comparison)) != 2:
        return "several comparisons in a row"
    operands = _operands(comparison)
    literals = [operand for operand in operands if is_literal(operand)]
    values = [operand for operand in operands if not is_literal(operand)]
    classes = types_of(file, literals[0]) if literals else None
    if not values or classes is None:
        return "there is no value that is compared with a literal"
    return unknown(file, values, classes | {"None"})


def condition_is_bool(file: File, match: Match, argument: None) -> str | None:
    """Check that the condition of a conditional expression is True or False."""
    expression = node_of(file, match, "conditional_expression")
    if expression is None:
        return "the expression was not understood"
    if any(edit.text.startswith("bool(") for edit in match.edits or ()):
        return shadowed(file, "bool")
    return boolean(file, named_children(expression)[1])


def boolean(file: File, node: SgNode) -> str | None:
    """Return why the value of an expression may be something else than True or False."""
    node = unwrapped(node)
    if node.kind() in ("not_operator", "true", "false"):
        return None
    if node.kind() == "boolean_operator":
        return next(filter(None, [boolean(file, operand) for operand in named_children(node)]), None)
    if node.kind() == "comparison_operator":
        operators = {child.text() for child in node.children() if not child.is_named()}
        if operators <= {"is", "is not", "in", "not in"}:
            return None
        return unknown(file, _operands(node), PLAIN)
    if called(node) in ("isinstance", "issubclass", "callable", "bool", "hasattr"):
        return shadowed(file, called(node))
    return unknown(file, [node], {"bool"})


def joined_have_one_type(file: File, match: Match, argument: None) -> str | None:
    """Check that everything that + joins is a list, or everything is a tuple."""
    operator = node_of(file, match, "binary_operator")
    if operator is None:
        return "the expression was not understood"
    operands = _summands(operator)
    kind = next(
        (types_of(file, operand) for operand in operands if operand.kind() in ("list", "tuple")), None
    )
    return "there is no list that elements are added to" if kind is None else unknown(file, operands, kind)


def _summands(node: SgNode) -> list[SgNode]:
    node = unwrapped(node)
    if node.kind() != "binary_operator":
        return [node]
    return [summand for side in named_children(node) for summand in _summands(side)]


def iterated_again(file: File, match: Match, argument: None) -> str | None:
    """Check that what a comprehension goes over is a collection, which can be looked at in part."""
    comprehension = node_of(file, match, *COMPREHENSIONS)
    clauses = of_kinds(comprehension, ("for_in_clause",)) if comprehension is not None else []
    if len(clauses) != 1:
        return "several loops in a comprehension"
    return unknown(file, [_iterated(clauses[0])], REITERABLE)


def _iterated(clause: SgNode) -> SgNode:
    right = clause.field("right")
    return right if right is not None else named_children(clause)[-1]


def elements_cannot_fail(file: File, match: Match, argument: None) -> str | None:
    """Check that evaluating an element has no effect and raises nothing: not all are evaluated afterwards."""
    comprehension = node_of(file, match, *COMPREHENSIONS)
    if comprehension is None:
        return "the comprehension was not understood"
    conditions = [named_children(clause)[0] for clause in of_kinds(comprehension, ("if_clause",))]
    reasons = [_may_fail(file, node) for node in [named_children(comprehension)[0], *conditions]]
    return next(filter(None, reasons), None)


def _may_fail(file: File, node: SgNode) -> str | None:
    node = unwrapped(node)
    if is_literal(node) or node.kind() == "identifier":
        # Its truth is asked for, which is code of the class.
        return None if is_literal(node) else unknown(file, [node], PLAIN)
    if node.kind() in ("not_operator", "boolean_operator"):
        return next(filter(None, [_may_fail(file, operand) for operand in named_children(node)]), None)
    if node.kind() == "comparison_operator":
        operands = _operands(node)
        if not all(is_total(operand) for operand in operands):
            return (
                f"`{shortened(node)}` may have an effect, and is not evaluated for every element afterwards"
            )
        if {child.text() for child in node.children() if not child.is_named()} <= {"is", "is not"}:
            return None
        return unknown(file, operands, NUMBERS) if unknown(file, operands, {"str"}) else None
    if called(node) == "isinstance" and all(
        is_total(argument) for argument in named_children(node)[1].children()[1:-1:2]
    ):
        return shadowed(file, "isinstance")
    return (
        f"`{shortened(node)}` may have an effect or fail, and is not evaluated for every element afterwards"
    )


def copied_is(file: File, match: Match, argument: None) -> str | None:
    """Check that a comprehension copies a builtin collection, element by element."""
    comprehension = node_of(file, match, *COMPREHENSIONS)
    clauses = of_kinds(comprehension, ("for_in_clause",)) if comprehension is not None else []
    if comprehension is None or len(clauses) != 1 or comprehension.kind() == "dictionary_comprehension":
        return "a mapping is copied by its keys, pairs are copied by their order: which it is, is not known"
    if named_children(comprehension)[0].kind() != "identifier":
        return "each element is taken apart and put together again"
    return unknown(file, [_iterated(clauses[0])], REITERABLE)


def keys_of_dictionary(file: File, match: Match, argument: None) -> str | None:
    """Check that .keys() or .items() is a method of a dictionary."""
    node = node_of(file, match, "comparison_operator", "for_statement", "for_in_clause")
    methods = [
        attribute
        for attribute in (of_kinds(node, ("attribute",)) if node is not None else ())
        if named_children(attribute)[-1].text() in ("keys", "items")
        and span_of(attribute)[1] <= match.end + len(".items()")
    ]
    if not methods:
        return "the dictionary was not understood"
    return unknown(file, [named_children(methods[-1])[0]], DICTIONARIES)


def receiver_is(file: File, match: Match, allowed: Sequence[str]) -> str | None:
    """Check that each method in the match is called on a name of one of these types."""
    node = file.node(match)
    receivers = [
        named_children(call)[0]
        for call in of_kinds(node, ("call",))
        if named_children(call)[0].kind() == "attribute"
    ]
    objects = [named_children(attribute)[0] for attribute in receivers]
    if not objects or not all(is_chain(receiver) for receiver in objects):
        return "what the method is called on may have an effect"
    if reason := unknown(file, objects[:1], set(allowed)):
        return reason
    arguments = [
        child
        for call in of_kinds(node, ("call",))
        for child in of_kinds(named_children(call)[-1], ("identifier",))
    ]
    return "an argument is not a literal" if arguments else None


def plain_values(file: File, match: Match, argument: None) -> str | None:
    """Check that formatting the values of an f-string by %s gives the same text."""
    node = node_of(file, match, "call")
    values = [
        named_children(part)[0]
        for part in (of_kinds(node, ("interpolation",)) if node is not None else ())
        if not any(child.kind() == "type_conversion" for child in part.children())
    ]
    # A tuple in braces has no parentheses of its own.
    return unknown(file, [value for value in values if value.kind() != "expression_list"], PRINTABLE)


PRECONDITIONS = {
    "plain-equality": Precondition("== does not mean anything of its own here", plain_equality, True),
    "compared-are": Precondition("both sides of the comparison are of these types", compared_are, True),
    "same-class": Precondition("the value is of the literal's type", same_class, True),
    "condition-is-bool": Precondition("the condition is True or False", condition_is_bool, True),
    "joined-have-one-type": Precondition("only lists are joined, or only tuples", joined_have_one_type, True),
    "iterated-again": Precondition("a collection is gone over, not an iterator", iterated_again, True),
    "elements-cannot-fail": Precondition(
        "an element has no effect and cannot fail", elements_cannot_fail, True
    ),
    "copied-is-collection": Precondition("a builtin collection is copied", copied_is, True),
    "keys-of-dictionary": Precondition("the object is a dictionary", keys_of_dictionary, True),
    "receiver-is": Precondition("the object is of one of these types", receiver_is, True),
    "plain-values": Precondition("format and str give the same text of each value", plain_values, True),
}
