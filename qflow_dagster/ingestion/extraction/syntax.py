"""Facts from a syntax tree: definitions, calls, imports, comments, control structures, errors.

Belongs here: turning the captures of a query (``queries/*.scm``) into facts. The captures are
processed once in order of position with a stack of enclosing nodes, so no tree is walked in Python.
Import statements are parsed by ``imports``, names of definitions by ``names``.

How structures count, for all languages:

- ``decisions`` (cyclomatic complexity less 1; McCabe 1976): each if, else-if, loop, catch, case
  with a value, conditional expression, and logical operator; in Python also what radon counts
  (comprehensions and their ifs, assert, else of loops and try).
- ``cognitive`` (SonarSource: Cognitive Complexity, 2023): if, loop, catch, switch and conditional
  expression count 1 plus their nesting; else, else-if, labelled jumps and each sequence of like
  logical operators count 1; lambdas nest; a function that calls itself counts 1.
- ``nesting``: the deepest nesting of if, loop, catch, switch and conditional expression.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from tree_sitter import Node, QueryCursor, Tree

from qflow_dagster.ingestion.extraction import imports, names, tokens
from qflow_dagster.ingestion.extraction.grammars import NOT_CALLS, PLAIN_DOC_COMMENTS, Grammar
from qflow_dagster.ingestion.extraction.text import Lines, Span
from qflow_dagster.ingestion.facts import ImportFact, ParseErrorFact, SymbolFact

LOCATED_ERRORS = 20
# Progress callbacks are slow, so only files above this size have a timeout while they are parsed.
WATCHED_BYTES = 200_000
SIGNATURE_LENGTH = 200
FUNCTIONS = frozenset({"function", "method"})
# A function directly inside one of these is a method.
HOLDERS = frozenset({"class", "interface", "trait", "impl", "struct", "enum"})
DOC_MARKS = (b"/**", b"///", b"//!", b"/*!")

DEFINITION, CALL, PLAIN_DECISION, LOOP_ELSE, CASE, ELSE, ELSE_IF, JUMP = range(8)
IF, LOOP, CATCH, SWITCH, TERNARY, LAMBDA, AND, OR = range(8, 16)
CAPTURES = {
    "call": CALL,
    "decision": PLAIN_DECISION,
    "loopelse": LOOP_ELSE,
    "case": CASE,
    "else": ELSE,
    "elseif": ELSE_IF,
    "jump": JUMP,
    "if": IF,
    "loop": LOOP,
    "catch": CATCH,
    "switch": SWITCH,
    "ternary": TERNARY,
    "lambda": LAMBDA,
    "and": AND,
    "or": OR,
}


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
    calls: dict[bytes, list[int]] = field(default_factory=dict)


class Found:
    """The content of a tree: spans to blank out, imports, errors, and the definitions that become symbols."""

    def __init__(self, grammar: Grammar, source: bytes) -> None:
        self.grammar, self.source = grammar, source
        self.definitions: list[Definition] = []
        self.comments: list[Span] = []
        self.imports: list[ImportFact] = []
        self.errors: list[ParseErrorFact] = []
        self.error_count = 0
        self.newlines: list[int] = [match.start() for match in re.finditer(rb"\n", source)]

    def line_of(self, position: int) -> int:
        """Return the 1-based line of a byte position."""
        return bisect_right(self.newlines, position - 1) + 1

    @property
    def function_spans(self) -> list[Span]:
        """Return (start, end) of each function and method, in order."""
        return [(d.start, d.end) for d in self.definitions if d.kind in FUNCTIONS]

    def symbols(self, lines: Lines, lexed: tokens.Lexed) -> list[SymbolFact]:
        """Return the definitions as facts, with the counts of lines and tokens."""
        halstead = iter(tokens.halstead(lexed))
        counts = {id(d): next(halstead) for d in self.definitions if d.kind in FUNCTIONS}
        top_level = next(halstead)
        qualified: list[str] = []
        facts = []
        function_code = 0
        for seq, d in enumerate(self.definitions):
            above = qualified[d.parent] if d.parent else ""
            qualified.append(f"{above}.{d.name}" if above else d.name if seq else "")
            first, last = self.line_of(d.start), self.line_of(max(d.end - 1, d.start))
            structure: tuple[int | None, ...] = (None,) * 9
            if d.kind in FUNCTIONS or seq == 0:
                code = lines.code_between(first, last)
                if seq and not self._inside_function(d):
                    function_code += code
                tally = counts.get(id(d), top_level)
                structure = (d.parameters, d.decisions, d.cognitive, d.nesting, code, *tally)
            facts.append(
                SymbolFact(
                    seq,
                    d.parent,
                    d.kind,
                    d.name,
                    qualified[seq],
                    _signature(d, lines.code_text) if seq else "",
                    first,
                    last,
                    d.start,
                    d.end,
                    d.documented,
                    [_text(name) for name in d.calls],
                    [tally[0] for tally in d.calls.values()],
                    [self.line_of(tally[1]) for tally in d.calls.values()],
                    *structure,
                )
            )
        # The file's own structure is its top level: lines in functions are theirs.
        facts[0] = facts[0]._replace(code_lines=max(lines.code - function_code, 0))
        return facts

    def _inside_function(self, definition: Definition) -> bool:
        above = definition.parent
        while above:
            if self.definitions[above].kind in FUNCTIONS:
                return True
            above = self.definitions[above].parent
        return False


def parse(grammar: Grammar, source: bytes, timeout: float) -> Tree | None:
    """Parse a source to a syntax tree; None if that takes longer than `timeout` seconds."""
    if len(source) < WATCHED_BYTES:
        return grammar.parser.parse(source)
    return _parse_watched(grammar, source, timeout)


def read(grammar: Grammar, tree: Tree, source: bytes) -> Found:
    """Extract all facts of a tree with a single query and pass."""
    result = Found(grammar, source)
    root = tree.root_node
    captures = QueryCursor(grammar.query).captures(root)
    comments = captures.get("comment", [])
    docs = captures.get("doc", [])
    result.comments = [node.byte_range for node in comments]
    result.comments += [node.byte_range for node in docs]
    result.definitions = _definitions(grammar, captures, source)
    _document(result, comments, docs)
    _sweep(result, captures)
    result.imports = imports.read(grammar.name, captures, source)
    if root.has_error:
        _locate_errors(result, grammar, root)
    return result


def _definitions(grammar: Grammar, captures: dict[str, list[Node]], source: bytes) -> list[Definition]:
    """Return the file itself and its definitions in order, each with the index of the enclosing one."""
    definitions = [Definition("module", "", 0, len(source), len(source), None)]
    visited: set[Span] = set()
    for capture, nodes in captures.items():
        if not capture.startswith("def."):
            continue
        for node in nodes:
            span = node.byte_range
            if span in visited:
                continue
            visited.add(span)
            name = names.name_of(grammar.name, node, source)
            body = names.body_of(grammar.name, node)
            definitions.append(Definition(capture[4:], name, *span, body, node))
    definitions[1:] = sorted(definitions[1:], key=lambda d: (d.start, -d.end))
    stack = [0]
    for index, definition in enumerate(definitions[1:], start=1):
        while definitions[stack[-1]].end <= definition.start and len(stack) > 1:
            stack.pop()
        definition.parent = stack[-1]
        if definition.kind == "function" and definitions[stack[-1]].kind in HOLDERS:
            definition.kind = "method"
        if definition.kind in FUNCTIONS and definition.node is not None:
            definition.parameters = names.parameter_count(grammar.name, definition.node)
        stack.append(index)
    return definitions


def _document(result: Found, comments: list[Node], docs: list[Node]) -> None:
    """Mark the definitions that have a docstring, or a documenting comment right above."""
    definitions = result.definitions
    starts = [d.start for d in definitions]
    if result.grammar.name == "elixir":
        for node in docs:
            index = bisect_right(starts, node.end_byte)
            if result.source.startswith(b"@moduledoc", node.start_byte):
                index = _innermost(definitions, starts, node.start_byte)
            if index < len(definitions):
                definitions[index].documented = True
        return
    for node in docs:
        definitions[_innermost(definitions, starts, node.start_byte)].documented = True
    if result.grammar.name == "python":
        return
    plain = result.grammar.name in PLAIN_DOC_COMMENTS
    ends = set()
    for node in comments:
        if plain or result.source.startswith(DOC_MARKS, node.start_byte):
            # Some grammars count the newline after a line comment to it.
            newline = result.source[node.end_byte - 1 : node.end_byte] == b"\n"
            ends.add(node.end_point[0] - newline)
    lines = result.source.split(b"\n") if result.grammar.name == "rust" else []
    for definition in definitions[1:]:
        above = result.line_of(definition.start) - 2
        while lines and above > 0 and lines[above].lstrip().startswith(b"#["):
            above -= 1
        definition.documented = above in ends
    # Captures have no defined order.
    if any(node.start_byte == 0 for node in comments):
        definitions[0].documented = True


def _innermost(definitions: list[Definition], starts: list[int], position: int) -> int:
    index = bisect_right(starts, position) - 1
    while index > 0 and definitions[index].end <= position:
        index = definitions[index].parent or 0
    return index


def _sweep(result: Found, captures: dict[str, list[Node]]) -> None:
    """Assign each call and structure to its enclosing function, with the counts defined above."""
    definitions, source = result.definitions, result.source
    events = [(d.start, -d.end, DEFINITION, i) for i, d in enumerate(definitions) if i]
    else_ifs = {node.byte_range for node in captures.get("elseif", ())}
    not_calls = NOT_CALLS.get(result.grammar.name, frozenset())
    # An else-if is not an if of its own, nor an else; the name in an Elixir definition is not a call.
    skip = {
        IF: else_ifs,
        ELSE: else_ifs,
        LAMBDA: _function_values(definitions, captures),
        CALL: {node.byte_range for node in captures.get("head", ())},
    }
    for capture, nodes in captures.items():
        code = CAPTURES.get(capture)
        if code is None:
            continue
        skipped = skip.get(code, ())
        for node in nodes:
            start, end = node.byte_range
            if (start, end) not in skipped:
                events.append((start, -end, code, 0))
    events.sort()
    # Enclosing nodes: (end, index of the function or file, nesting, definition, kind, start).
    stack: list[tuple[int, int, int, int, int, int]] = [(len(source) + 1, 0, 0, 0, DEFINITION, 0)]
    for start, minus_end, code, index in events:
        end = -minus_end
        while stack[-1][0] <= start:
            stack.pop()
        _, owner, level, within, top_code, top_start = stack[-1]
        if code == CALL:
            calls = definitions[within].calls
            name = source[start:end]
            if name in not_calls:
                continue
            if name in calls:
                calls[name][0] += 1
            else:
                calls[name] = [1, start]
            continue
        d = definitions[owner]
        if code == DEFINITION:
            is_function = definitions[index].kind in FUNCTIONS
            stack.append(
                (end, index if is_function else owner, 0 if is_function else level, index, code, start)
            )
        elif code >= AND:
            d.decisions += 1
            # An operand of the same operator continues its sequence.
            if not (top_code == code and (start == top_start or end == stack[-1][0])):
                d.cognitive += 1
            stack.append((end, owner, level, within, code, start))
        elif code >= IF:
            if code == LAMBDA:
                stack.append((end, owner, level + 1, within, code, start))
                continue
            if code != SWITCH:
                d.decisions += 1
            d.cognitive += 1 + level
            d.nesting = max(d.nesting, level + 1)
            stack.append((end, owner, level + 1, within, code, start))
        else:
            if code in (PLAIN_DECISION, CASE, ELSE_IF, LOOP_ELSE):
                d.decisions += 1
            if code in (ELSE, ELSE_IF, JUMP, LOOP_ELSE):
                d.cognitive += 1
    for definition in definitions[1:]:
        if definition.kind in FUNCTIONS and definition.name.encode() in definition.calls:
            definition.cognitive += 1


def _function_values(definitions: list[Definition], captures: dict[str, list[Node]]) -> set[Span]:
    """Return lambdas that are the value of a named function (`const f = () => ..`), and so not nested in it."""
    ends = {d.end: d for d in definitions[1:] if d.kind in FUNCTIONS}
    values: dict[int, Span] = {}
    for node in captures.get("lambda", ()):
        start, end = node.byte_range
        definition = ends.get(end)
        if definition is not None and start >= definition.start and start < values.get(end, (end, 0))[0]:
            values[end] = (start, end)
    return set(values.values())


def _locate_errors(errors: Found, grammar: Grammar, root: Node) -> None:
    captures = QueryCursor(grammar.errors).captures(root)
    positions = sorted(
        (node.start_point[0] + 1, node.start_point[1] + 1, "error" if capture == "error" else "missing")
        for capture, nodes in captures.items()
        for node in nodes
    )
    errors.error_count = len(positions)
    errors.errors = [
        ParseErrorFact(seq, *position) for seq, position in enumerate(positions[:LOCATED_ERRORS])
    ]


def _parse_watched(grammar: Grammar, source: bytes, timeout: float) -> Tree | None:
    import time

    deadline = time.monotonic() + timeout
    view = memoryview(source)
    expired = False

    def chunk(position: int, _point: object) -> bytes:
        # An empty chunk ends the text: an expired parse comes to its end at once.
        nonlocal expired
        expired = expired or time.monotonic() > deadline
        return b"" if expired else bytes(view[position : position + 16_384])

    tree = grammar.parser.parse(chunk)
    return None if expired else tree


def _signature(definition: Definition, code_text: bytes) -> str:
    """Return the declaration up to its body, on one line, without comments."""
    declared = code_text[definition.start : min(definition.body, definition.start + 2_000)]
    return " ".join(_text(declared).split())[:SIGNATURE_LENGTH].rstrip(" {:=")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
