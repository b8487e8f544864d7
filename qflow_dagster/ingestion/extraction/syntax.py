"""Facts from a syntax tree: definitions, calls, imports, comments, control structures, errors.

Belongs here: turning the captures of a query (``queries/*.scm``) into facts. Import statements are parsed by
``imports``, names of definitions by ``names``; ``structure`` attributes calls and constructs to functions, by the
table in ``constructs``.
"""

import re
import time
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from tree_sitter import Node, QueryCursor, Tree

from qflow_dagster.ingestion.extraction import imports, names, recovery, recursion, structure, tokens
from qflow_dagster.ingestion.extraction.declared_types import DeclaredTypes
from qflow_dagster.ingestion.extraction.grammars import NOT_CALLS, PLAIN_DOC_COMMENTS, Grammar
from qflow_dagster.ingestion.extraction.structure import FUNCTIONS, Definition
from qflow_dagster.ingestion.extraction.text import Lines, Span, blanked
from qflow_dagster.ingestion.facts import ImportFact, ParseErrorFact, SymbolFact

LOCATED_ERRORS = 20
# Progress callbacks are slow, so only files above this size have a timeout while they are parsed.
WATCHED_BYTES = 200_000
# A pattern that has begun to match is tried at each node inside, so the time grows by size times depth; code that is
# nested deeper than this has no facts.
MAX_DEPTH = 2_000
# A type may inherit from much.
SIGNATURE_LENGTH, TYPE_LENGTH, MAX_DECLARATION = 400, 1_000, 10_000
# Languages where the parameters of a constructor stand between the name of a type and what it inherits from.
PRIMARY_CONSTRUCTORS = frozenset({"kotlin", "scala", "csharp", "java"})
PARENTHESES, MAX_NESTED = re.compile(r"\([^()]*+\)"), 6
# A function directly inside one of these is a method.
HOLDERS = frozenset({"class", "interface", "trait", "impl", "struct", "enum", "object"})
NEWLINE = ord("\n")
# What follows it in Ruby is data; the tree has no node for the mark itself.
DATA_MARK = b"__END__"
DOC_MARKS = (b"/**", b"///", b"//!", b"/*!")


class Found:
    """The content of a tree: spans to blank out, imports, errors, and the definitions that become symbols."""

    def __init__(self, grammar: Grammar, source: bytes) -> None:
        self.grammar, self.source = grammar, source
        self.definitions: list[Definition] = []
        self.comments: list[Span] = []
        self.imports: list[ImportFact] = []
        self.namespaces: list[str] = []
        self.constants: list[str] = []
        self.errors: list[ParseErrorFact] = []
        self.error_count = 0
        self.types = DeclaredTypes(grammar.name, source, ())
        self.newlines: list[int] = np.flatnonzero(np.frombuffer(source, np.uint8) == NEWLINE).tolist()

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
            measures: tuple[int | None, ...] = (None,) * 9
            if d.kind in FUNCTIONS or seq == 0:
                code = lines.code_between(first, last)
                if seq and not self._inside_function(d):
                    function_code += code
                tally = counts.get(id(d), top_level)
                measures = (d.parameters, d.decisions, d.cognitive, d.nesting, code, *tally)
            facts.append(
                SymbolFact(
                    seq,
                    d.parent,
                    d.kind,
                    structure.own_name(d.name),
                    qualified[seq],
                    _signature(d, lines.code_text, self.grammar.name) if seq else "",
                    first,
                    last,
                    d.start,
                    d.end,
                    d.documented,
                    [_text(name) for _, name in d.calls],
                    [self._receiver(call, seq, tally[1]) for (call, _), tally in d.calls.items()],
                    [tally[0] for tally in d.calls.values()],
                    [self.line_of(tally[1]) for tally in d.calls.values()],
                    *measures,
                )
            )
        # The file's own structure is its top level: lines in functions are theirs.
        facts[0] = facts[0]._replace(code_lines=max(lines.code - function_code, 0))
        return facts

    def _receiver(self, written: bytes, definition: int, position: int) -> str:
        """Return a receiver with its declared type: `name: Type`."""
        declared = self.types.of(written, definition, position) if written else b""
        return _text(written + b": " + declared if declared else written)

    def _inside_function(self, definition: Definition) -> bool:
        above = definition.parent
        while above:
            if self.definitions[above].kind in FUNCTIONS:
                return True
            above = self.definitions[above].parent
        return False


def parse(grammar: Grammar, source: bytes, timeout: float) -> tuple[Tree, list[Span]] | None:
    """Parse a source to a syntax tree; None if that takes longer than `timeout` seconds.

    Also return the spans that the tree lacks.

    Where there are errors and the language has a preprocessor, only the first branch of each condition is read, and
    macros that are lines of their own are not, if that has fewer errors; nor is what Kotlin's grammar does not know.
    """
    source = recovery.with_joined_constructors(grammar.name, recovery.without_macros(grammar.name, source))
    tree = _parse(grammar, source, timeout)
    if tree is None:
        return None
    if grammar.name == "kotlin" and (taken := recovery.annotations_in_expressions(tree.root_node, source)):
        source = recovery.without(source, taken)
        tree = _parse(grammar, source, timeout) or tree
    lacking: list[Span] = []
    for change in (
        recovery.first_branches,
        recovery.without_macro_calls,
        recovery.without_unknown_kotlin,
    ):
        if not tree.root_node.has_error:
            break
        text, spans = change(grammar.name, source)
        other = _parse(grammar, text, timeout) if text != source else None
        if other and len(_errors(other.root_node)) < len(_errors(tree.root_node)):
            tree, source, lacking = other, text, lacking + spans
    return tree, lacking


def read(grammar: Grammar, tree: Tree, source: bytes, lacking: Sequence[Span] = ()) -> Found:
    """Extract all facts of a tree with a single query and pass; `lacking` are the spans that it lacks."""
    result = Found(grammar, source)
    root = tree.root_node
    cursor = QueryCursor(grammar.query)
    cursor.set_max_start_depth(MAX_DEPTH)
    captures = cursor.captures(root)
    comments = captures.get("comment", [])
    docs = captures.get("doc", [])
    result.comments = [node.byte_range for node in comments]
    result.comments += [node.byte_range for node in docs]
    result.comments += [(n.start_byte - len(DATA_MARK), n.end_byte) for n in captures.get("data", [])]
    unseen = recovery.unseen(source, lacking, grammar.keywords)
    result.comments += unseen.comments
    values = _function_values(captures)
    result.definitions = _definitions(grammar, captures, source, values)
    _document(result, comments, docs)
    not_calls = NOT_CALLS.get(grammar.name, frozenset())
    # A comment before a call may end with what separates a receiver.
    code = blanked(source, result.comments)
    structure.measure(grammar.name, result.definitions, captures, code, not_calls, values, unseen.calls)
    # A macro before a name is no type.
    plain = recovery.without_macros(grammar.name, source)
    result.types = DeclaredTypes(grammar.name, plain, result.definitions)
    recursion.mark(grammar.name, result.definitions, root, source, result.comments, result.types)
    result.imports = imports.read(grammar.name, captures, source)
    result.namespaces = names.namespaces(grammar.name, captures.get("namespace", []), source)
    constants = sorted(node.byte_range for node in captures.get("constant", []))
    spelled = [source[start:end].decode("utf-8", "replace").strip("`") for start, end in constants]
    result.constants = list(dict.fromkeys(name[: names.MAX_NAME] for name in spelled))
    if root.has_error:
        _locate_errors(result, root)
    return result


def _definitions(
    grammar: Grammar, captures: dict[str, list[Node]], source: bytes, values: set[Span]
) -> list[Definition]:
    """Return the file itself and its definitions in order, each with the index of the enclosing one."""
    definitions = [Definition("module", "", 0, len(source), len(source), None)]
    visited: set[Span] = set()
    for capture, nodes in captures.items():
        if not capture.startswith("def."):
            continue
        for node in nodes:
            span = node.byte_range
            if span in visited or span in values:
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
                index = structure.innermost(definitions, starts, node.start_byte)
            if index < len(definitions):
                definitions[index].documented = True
        return
    for node in docs:
        definitions[structure.innermost(definitions, starts, node.start_byte)].documented = True
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
        declared = definition.node and names.property_of(definition.node)
        above = result.line_of(declared.start_byte if declared else definition.start) - 2
        while lines and above > 0 and lines[above].lstrip().startswith(b"#["):
            above -= 1
        definition.documented = above in ends
    # Captures have no defined order.
    if any(node.start_byte == 0 for node in comments):
        definitions[0].documented = True


def _function_values(captures: dict[str, list[Node]]) -> set[Span]:
    """Return lambdas that are the value of a named function (`const f = () => ..`), and so not nested in it."""
    values = (
        names.value_of(node)
        for capture, nodes in captures.items()
        if capture.startswith("def.")
        for node in nodes
    )
    return {value.byte_range for value in values if value is not None}


def _locate_errors(found: Found, root: Node) -> None:
    positions = _errors(root)
    found.error_count = len(positions)
    found.errors = [ParseErrorFact(seq, *position) for seq, position in enumerate(positions[:LOCATED_ERRORS])]


def _errors(root: Node) -> list[tuple[int, int, str]]:
    """Return (line, column, kind) of the errors in a tree, in order; only what has errors is walked."""
    found = []
    pending = [root]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            found.append(
                (node.start_point[0] + 1, node.start_point[1] + 1, "error" if node.is_error else "missing")
            )
        pending += [child for child in node.children if child.has_error or child.is_error]
    return sorted(found)


def _parse(grammar: Grammar, source: bytes, timeout: float) -> Tree | None:
    if len(source) < WATCHED_BYTES:
        return grammar.parser.parse(source)
    return _parse_watched(grammar, source, timeout)


def _parse_watched(grammar: Grammar, source: bytes, timeout: float) -> Tree | None:
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


def _signature(definition: Definition, code_text: bytes, grammar: str) -> str:
    """Return the declaration up to its body, on one line, without comments.

    Of a type, what its constructor takes is left out if it is long: what the type inherits from stands behind that.
    """
    is_type = definition.kind in HOLDERS
    declared = code_text[definition.start : min(definition.body, definition.start + MAX_DECLARATION)]
    signature = " ".join(_text(declared).split())
    if len(signature) > SIGNATURE_LENGTH and is_type and grammar in PRIMARY_CONSTRUCTORS:
        for _ in range(MAX_NESTED):
            signature = PARENTHESES.sub("\0", signature)
        signature = signature.replace("\0", "(...)")
    length = TYPE_LENGTH if is_type else SIGNATURE_LENGTH
    return f"{signature[:length]}..." if len(signature) > length else signature.rstrip(" {:=")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
