"""Attribution of calls and constructs to functions, and what they add to the functions' complexity.

Belongs here: one pass over the captures of a file in order of position, with a stack of enclosing nodes, so no tree
is walked in Python. Which constructs count, and how much, is the table in ``constructs``. Does not belong here:
finding definitions (``syntax``), and whether a call is recursive (``recursion``).
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from tree_sitter import Node

from qflow_dagster.ingestion.extraction import constructs, receivers
from qflow_dagster.ingestion.extraction.text import Span

FUNCTIONS = frozenset({"function", "method"})
# Codes of events; the kinds of constructs follow.
DEFINITION, CALL, BINARY = range(3)
KINDS = [None, None, None, *constructs.kinds()]
CODES = {kind.name: code for code, kind in enumerate(KINDS) if kind}
LAMBDA, PREPROCESSOR = CODES["lambda"], CODES["preprocessor"]
PARENTHESES = frozenset(
    {
        "parenthesized_expression",
        "parenthesized_pattern",
        "parenthesized_statements",
        "tuple_expression",
        "block",
    }
)

# The grammar of Kotlin reads `!a && b` as `!(a && b)`, and puts parentheses that are written around the operand.
LOOSE_OPERANDS = frozenset({"conjunction_expression", "disjunction_expression"})


@dataclass(slots=True)
class Definition:
    """A definition during processing; counts are those of a function, or of the file's top level."""

    kind: str
    name: str
    start: int
    end: int
    body: int
    node: Node | None
    parent: int | None = None
    parameters: int = 0
    decisions: int = 0
    cognitive: int = 0
    nesting: int = 0
    documented: bool = False
    # By receiver and name: how often it is called, and where first.
    calls: dict[tuple[bytes, bytes], list[int]] = field(default_factory=dict)
    # Positions of calls by the function's own name.
    own_calls: list[Span] = field(default_factory=list)


_SCOPED = re.compile(r"[\w$~]+(?:(?:\.|::)[\w$~]+)+")


def own_name(name: str) -> str:
    """Return a name without receiver and scopes, as calls have it: of Go's methods, C++'s, assigned functions."""
    return re.split(r"\.|::", name)[-1] if _SCOPED.fullmatch(name) else name


def innermost(definitions: Sequence[Definition], starts: Sequence[int], position: int) -> int:
    """Return the index of the innermost definition around a position; `starts` are where the definitions start."""
    index = bisect_right(starts, position) - 1
    while index > 0 and definitions[index].end <= position:
        index = definitions[index].parent or 0
    return index


def measure(
    grammar: str,
    definitions: list[Definition],
    captures: dict[str, list[Node]],
    source: bytes,
    not_calls: frozenset[bytes],
    values: set[Span],
    more_calls: Sequence[Span],
) -> None:
    """Assign each call and construct to its function, and count there.

    `definitions` begins with the file itself; `values` are lambdas that are functions of their own; `more_calls` are
    names of calls that the tree lacks.
    """
    binaries = _binaries(captures)
    operators: dict[Span, list[tuple[int, int, int]]] = {}
    own_names = [own_name(definition.name).encode() for definition in definitions]
    # Enclosing nodes: (end, index of the function or file, nesting, definition, binary expression,
    # whether in a function or lambda).
    stack: list[tuple[int, int, int, int, Span | None, bool]] = [(len(source) + 1, 0, 0, 0, None, False)]
    previous = None
    for event in _events(definitions, captures, binaries, values, more_calls):
        if event == previous:
            continue
        previous = event
        start, minus_end, code, index = event
        end = -minus_end
        while stack[-1][0] <= start:
            stack.pop()
        _, owner, level, within, binary, scoped = stack[-1]
        if code == CALL:
            name = source[start:end]
            if name in not_calls:
                continue
            definition = definitions[within]
            call = receivers.receiver(grammar, source, start), name
            tally = definition.calls.get(call)
            if tally:
                tally[0] += 1
            else:
                definition.calls[call] = [1, start]
            if name == own_names[within]:
                definition.own_calls.append((start, end))
        elif code == BINARY:
            stack.append((end, owner, level, within, (start, end), scoped))
        elif code == DEFINITION:
            if definitions[index].kind in FUNCTIONS:
                stack.append((end, index, 0, index, None, True))
            else:
                stack.append((end, owner, level, index, None, scoped))
        else:
            kind = KINDS[code]
            if kind.sequence:
                if binary:
                    operators.setdefault(binary, []).append((start, code, owner))
                continue
            if code == PREPROCESSOR and not owner:
                continue
            function = definitions[owner]
            function.decisions += kind.cyclomatic
            function.cognitive += kind.cognitive + (level if kind.nested else 0)
            if kind.nests:
                # A lambda outside any function is the outermost level itself.
                level += scoped if code == LAMBDA else 1
                if code != LAMBDA:
                    function.nesting = max(function.nesting, level)
                stack.append((end, owner, level, within, None, scoped or code == LAMBDA))
    _count_sequences(definitions, operators, binaries)


def _binaries(captures: dict[str, list[Node]]) -> dict[Span, Node]:
    """Return the expressions with two operands, without those in conditions of the preprocessor."""
    binaries = {node.byte_range: node for node in captures.get("binary", ())}
    conditions = sorted(node.byte_range for node in captures.get("directive", ()))
    if not conditions:
        return binaries

    def inside(span: Span) -> bool:
        before = bisect_right(conditions, span[0], key=itemgetter(0)) - 1
        return before >= 0 and span[1] <= conditions[before][1]

    return {span: node for span, node in binaries.items() if not inside(span)}


def _events(
    definitions: list[Definition],
    captures: dict[str, list[Node]],
    binaries: dict[Span, Node],
    values: set[Span],
    more_calls: Sequence[Span],
) -> list[tuple[int, int, int, int]]:
    """Return (start, -end, code, index of the definition) in order; enclosing nodes come first."""
    events = [(d.start, -d.end, DEFINITION, i) for i, d in enumerate(definitions) if i]
    events += [(start, -end, BINARY, 0) for start, end in binaries]
    events += [(start, -end, CALL, 0) for start, end in more_calls]
    # An else-if is not an if of its own, nor an else; the name in an Elixir definition is not a call.
    else_ifs = {node.byte_range for node in captures.get("else_if", ())}
    heads = {node.byte_range for node in captures.get("head", ())}
    named = values | {(d.start, d.end) for d in definitions}
    skip = {CODES["if"]: else_ifs, CODES["else"]: else_ifs, LAMBDA: named, CALL: heads}
    for capture, nodes in captures.items():
        code = CALL if capture == "call" else CODES.get(capture)
        if code is None:
            continue
        spans = [node.byte_range for node in nodes]
        skipped = skip.get(code)
        if skipped:
            spans = [span for span in spans if span not in skipped]
        events += [(start, -end, code, 0) for start, end in spans]
    events.sort()
    return events


def _count_sequences(
    definitions: list[Definition],
    operators: dict[Span, list[tuple[int, int, int]]],
    binaries: dict[Span, Node],
) -> None:
    """Count logical operators, and once each sequence of the same operator within one expression as written.

    Parentheses do not end a sequence: `a && (b && c) || d` has two.
    """
    expression: dict[Span, Span] = {}
    sequences: dict[Span, list[tuple[int, int, int]]] = {}
    # Outer expressions come first.
    for span in sorted(operators, key=lambda span: (span[0], -span[1])):
        children = binaries[span].children
        above = binaries[span].parent
        negated = children[0] if above is not None and above.type == "prefix_expression" else None
        starts = {child.start_byte for child in children}
        whole = expression.get(span, span)
        # `&&` can also be a reference somewhere inside.
        own = [operator for operator in operators[span] if operator[0] in starts]
        sequences.setdefault(whole, []).extend(own)
        for child in children:
            operand = child
            while operand.named_child_count == 1 and (
                (operand.type in PARENTHESES and operand != negated)
                or (operand.type == "prefix_expression" and operand.named_children[0].type in LOOSE_OPERANDS)
            ):
                operand = operand.named_children[0]
            expression[operand.byte_range] = whole
    for sequence in sequences.values():
        before = None
        for _, code, owner in sorted(sequence):
            definitions[owner].decisions += 1
            definitions[owner].cognitive += code != before
            before = code
