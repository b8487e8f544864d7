"""Recursion: whether a function calls itself, directly or through other functions of its file.

A bare name, the object or class itself (`self`, `this`, the class's name), and in Go the receiver of the method and
what is declared with its type refer to it; `inner.close()`, `super().close()` and a call that fits another overload do
not. What could be several is not counted. Functions that call each other are looked for in one scope of a file, by the
first call of each name on each receiver.
"""

from collections.abc import Sequence

from tree_sitter import Node

from qflow_dagster.ingestion.extraction import names, receivers
from qflow_dagster.ingestion.extraction.declared_types import DeclaredTypes
from qflow_dagster.ingestion.extraction.structure import FUNCTIONS, Definition, own_name
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
LOOK_BACK = 200
ARGUMENTS = frozenset({"argument_list", "arguments", "value_arguments"})


def mark(
    grammar: str,
    definitions: list[Definition],
    root: Node,
    source: bytes,
    comments: Sequence[Span],
    types: DeclaredTypes,
) -> None:
    """Add 1 to the cognitive complexity of each function in a recursion cycle (Cognitive Complexity, B1)."""
    functions = [d for d in definitions[1:] if d.kind in FUNCTIONS]
    others = _others_called(functions)
    direct = [(index, d) for index, d in enumerate(definitions) if d.own_calls and d.kind in FUNCTIONS]
    code = blanked(source, comments) if direct or others else source
    recursive = set()
    for index, definition in direct:
        for call in definition.own_calls:
            receiver = receivers.receiver(grammar, code, call[0])
            before = code[max(call[0] - LOOK_BACK, 0) : call[0]]
            own = _refers_to(grammar, definitions, definition, receiver)
            if not own and grammar == "go" and definition.kind == "method" and definition.node is not None:
                # A method of a type cannot be overridden.
                own = types.of(receiver, index, call[0]) == names.go_receiver(definition.node)[1]
            if own and (
                grammar not in OVERLOADS or _fits_best(grammar, definitions, definition, call, root, before)
            ):
                recursive.add(id(definition))
                break
    calls: dict[int, list[int]] = {}
    for caller, called, position in others:
        if _refers_to(grammar, definitions, caller, receivers.receiver(grammar, code, position)):
            calls.setdefault(id(caller), []).append(id(called))
    recursive |= _in_cycles(calls)
    for definition in functions:
        definition.cognitive += id(definition) in recursive


def _others_called(functions: list[Definition]) -> list[tuple[Definition, Definition, int]]:
    """Return (caller, called function, position of a call) where one function beside the caller has that name."""
    beside: dict[tuple[int | None, str, str], dict[bytes, Definition | None]] = {}
    for definition in functions:
        own = own_name(definition.name)
        scope = definition.name.removesuffix(own)
        named = beside.setdefault((definition.parent, definition.kind, scope), {})
        name = own.encode()
        named[name] = None if name in named else definition
    found = []
    for named in beside.values():
        for caller in filter(None, named.values()):
            for (_, name), (_, position) in caller.calls.items():
                called = named.get(name)
                if called is not None and called is not caller:
                    found.append((caller, called, position))
    return found


def _in_cycles(calls: dict[int, list[int]]) -> set[int]:
    """Return the nodes that can reach themselves through others: in components of several (Kosaraju, Sharir)."""
    order: list[int] = []
    visited: set[int] = set()
    for start in calls:
        stack = [] if start in visited else [(start, iter(calls[start]))]
        visited.add(start)
        while stack:
            node, following = stack[-1]
            for other in following:
                if other not in visited:
                    visited.add(other)
                    stack.append((other, iter(calls.get(other, ()))))
                    break
            else:
                order.append(node)
                stack.pop()
    callers: dict[int, list[int]] = {}
    for caller, called in calls.items():
        for node in called:
            callers.setdefault(node, []).append(caller)
    found: set[int] = set()
    while order:
        component, pending = set(), [order.pop()]
        while pending:
            node = pending.pop()
            if node in visited:
                visited.remove(node)
                component.add(node)
                pending += callers.get(node, ())
        if len(component) > 1:
            found |= component
    return found


def _refers_to(grammar: str, definitions: list[Definition], caller: Definition, receiver: bytes) -> bool:
    """Return whether a call in a function, on `receiver`, is of itself or of a function beside it."""
    if not receiver:
        return caller.kind != "method" or grammar not in EXPLICIT_RECEIVER
    return receiver in SELF.get(grammar, {b"this"}) | _enclosing_names(grammar, definitions, caller)


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
