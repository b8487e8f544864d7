"""Recursion: whether a call by a function's own name calls that function.

A bare name, the object or class itself (`self`, `this`, the class's name) and the receiver of a Go method refer to it;
`inner.close()`, `super().close()` and a call that fits another overload do not. What could be several is not counted.
"""

from collections.abc import Sequence

from tree_sitter import Node

from qflow_dagster.ingestion.extraction import names
from qflow_dagster.ingestion.extraction.structure import FUNCTIONS, Definition
from qflow_dagster.ingestion.extraction.text import Span, blanked

# Languages where a bare name inside a class does not mean a method.
EXPLICIT_RECEIVER = frozenset({"python", "javascript", "typescript", "tsx", "rust", "php", "go"})
# Languages where functions of one name differ in their parameters.
OVERLOADS = frozenset({"java", "csharp", "cpp", "kotlin", "swift", "scala", "elixir"})
SELF = {
    "python": {b"self", b"cls"},
    "php": {b"$this", b"self", b"static"},
    "rust": {b"self", b"Self"},
    "swift": {b"self", b"Self"},
    "ruby": {b"self"},
    "elixir": {b"__MODULE__"},
    "go": set(),
}
SEPARATORS = (b"?.", b"!!.", b"&.", b".", b"?->", b"->", b"::")
LETTERS = bytes(byte for byte in range(256) if chr(byte).isalnum() or byte >= 128) + b"_$@"
LOOK_BACK = 200
ARGUMENTS = frozenset({"argument_list", "arguments", "value_arguments"})


def mark(
    grammar: str, definitions: list[Definition], root: Node, source: bytes, comments: Sequence[Span]
) -> None:
    """Add 1 to the cognitive complexity of each function that calls itself (Cognitive Complexity, B1)."""
    candidates = [d for d in definitions[1:] if d.own_calls and d.kind in FUNCTIONS]
    code = blanked(source, comments) if candidates else source
    for definition in candidates:
        calls = definition.own_calls
        if any(_calls_itself(grammar, definitions, definition, call, root, code) for call in calls):
            definition.cognitive += 1


def _calls_itself(
    grammar: str,
    definitions: list[Definition],
    definition: Definition,
    call: Span,
    root: Node,
    source: bytes,
) -> bool:
    before = source[max(call[0] - LOOK_BACK, 0) : call[0]]
    receiver = _receiver(before)
    if receiver is None:
        if definition.kind == "method" and grammar in EXPLICIT_RECEIVER:
            return False
    elif receiver not in SELF.get(grammar, {b"this"}) | _enclosing_names(grammar, definitions, definition):
        return False
    return grammar not in OVERLOADS or _fits_best(grammar, definitions, definition, call, root, before)


def _receiver(before: bytes) -> bytes | None:
    """Return what a call is made on, b'' if that is an expression; None if only the name is written."""
    text = before.rstrip()
    separator = next((mark for mark in SEPARATORS if text.endswith(mark)), None)
    if separator is None:
        return None
    text = text.removesuffix(separator).rstrip()
    rest = text.rstrip(LETTERS)
    return b"" if rest.rstrip().endswith(SEPARATORS) else text[len(rest) :]


def _enclosing_names(grammar: str, definitions: list[Definition], definition: Definition) -> set[bytes]:
    """Return the names that refer to what contains a function: classes, modules, a Go receiver."""
    found = set()
    above = definition.parent
    while above:
        found.add(definitions[above].name.encode())
        above = definitions[above].parent
    found.update(part.encode() for part in definition.name.split("::")[:-1])
    if grammar == "go" and definition.node is not None:
        found.add(names.go_receiver(definition.node)[0])
    return found


def _fits_best(
    grammar: str,
    definitions: list[Definition],
    definition: Definition,
    call: Span,
    root: Node,
    before: bytes,
) -> bool:
    """Return whether no other overload fits the number of arguments as well."""
    counts = [
        other.parameters
        for other in definitions[1:]
        if other is not definition and other.name == definition.name and other.parent == definition.parent
    ]
    if grammar == "elixir":  # Clauses of one function have the same number of parameters.
        counts = [count for count in counts if count != definition.parameters]
    if not counts:
        return True
    arguments = _argument_count(root, call) + before.rstrip().endswith(b"|>")
    return arguments not in counts


def _argument_count(root: Node, call: Span) -> int:
    node = root.descendant_for_byte_range(*call)
    for _ in range(4):
        node = node and node.parent
        for child in reversed(node.named_children if node else []):
            if child.type == "call_suffix":
                lists = [n for n in child.named_children if n.type in ARGUMENTS]
                return sum(n.named_child_count for n in lists) + child.named_child_count - len(lists)
            if child.type in ARGUMENTS and child.start_byte >= call[1]:
                return sum(n.type not in names.NOT_PARAMETERS for n in child.named_children)
    return 0
