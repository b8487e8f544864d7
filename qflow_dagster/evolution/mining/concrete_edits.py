"""The edits a commit made to a file, as pairs of syntax trees for anti-unification.

Both texts are parsed by ast-grep, which later matches the rules; the trees are aligned, and what changed is
extracted at every level from the smallest node up to its statement.

The alignment is the top-down phase of GumTree (Falleri et al. 2014): subtrees that are equal except for
white space are mapped to each other, the rest is paired in order. Runs in worker processes: texts are
untrusted.
"""

from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from ast_grep_py import SgNode, SgRoot

from qflow_dagster.evolution.mining.anti_unification import Edit, Term

# Larger texts, deeper trees, longer lists are data, or an attack.
MAX_FILE_CHARACTERS = 300_000
MAX_DEPTH = 150
MAX_LIST_LENGTH = 400
# Characters and tokens of each side of an edit. Larger ones are not idioms.
MAX_EDIT_CHARACTERS = 400
MAX_TOKENS = 48
# Two statements correspond if their similarity (difflib ratio) is at least this.
MIN_SIMILARITY = 0.6

# Nodes that are treated as one token.
ATOMS = frozenset(
    [
        "string",
        "concatenated_string",
        "template_string",
        "regex",
        "interpreted_string_literal",
        "raw_string_literal",
        "rune_literal",
        "string_literal",
        "char_literal",
        "character_literal",
        "text_block",
        "raw_string",
    ]
)
COMMENTS = frozenset(["comment", "line_comment", "block_comment"])
# Nodes that contain statements or members: an insertion beside one does not change it.
CONTAINERS = frozenset(
    [
        "module",
        "program",
        "source_file",
        "block",
        "statement_block",
        "class_body",
        "interface_body",
        "enum_body",
        "declaration_list",
        "compilation_unit",
        "switch_body",
        "switch_block",
        "switch_case",
        "case_clause",
        "default_case",
        "expression_case",
        "constructor_body",
        "statement_list",
        "switch_block_statement_group",
        "match_block",
    ]
)
# Parts that cannot be a pattern alone: their parents are used.
PARTS = frozenset(
    [
        "argument_list",
        "arguments",
        "parameters",
        "formal_parameters",
        "parameter_list",
        "type_arguments",
        "ERROR",
        "string_content",
        "string_fragment",
        "escape_sequence",
        "keyword_argument",
        "pair",
        "else_clause",
        "elif_clause",
        "except_clause",
        "finally_clause",
        "catch_clause",
        "field_initializer",
        "field_initializer_list",
        "expression_list",
        "token_tree",
        "block_comment",
        "line_comment",
        "comment",
        "variable_declarator",
        "literal_value",
        "keyed_element",
        "literal_element",
        "import_specifier",
        "named_imports",
        "import_clause",
        "import_list",
        "import_spec",
        "import_spec_list",
    ]
)


class ConcreteEdit(NamedTuple):
    """One edit: its lines in the old text (from 1), the numbers of its changes within the file, its trees."""

    line: int
    end_line: int
    changes: tuple[int, ...]
    edit: Edit


@dataclass
class _Pair:
    before: SgNode
    after: SgNode
    parts: list["_Pair"] = field(default_factory=list)
    # Whether something changed here that is in none of the parts.
    own: bool = False


def concrete_edits(before: str, after: str, language: str) -> list[ConcreteEdit]:
    """Return the edits from `before` to `after`; none if a side is too large or too deep."""
    if max(len(before), len(after)) > MAX_FILE_CHARACTERS:
        return []
    root = _align(SgRoot(before, language).root(), SgRoot(after, language).root(), 0)
    collector = _Collector(before.split("\n"), after.split("\n"))
    if root is not None:
        collector.collect(root)
    return collector.edits


def squeezed(text: str) -> str:
    """Return the text without white space."""
    return "".join(text.split())


def _align(before: SgNode, after: SgNode, depth: int) -> _Pair | None:
    """Return what differs between two nodes; None if they are equal or too large to compare."""
    if depth > MAX_DEPTH:
        return None
    pair = _Pair(before, after)
    if (
        before.kind() != after.kind()
        or before.kind() in ATOMS
        or not before.children()
        or not after.children()
    ):
        pair.own = True
        return pair
    old_children, new_children = _children(before), _children(after)
    # Children that are identical at both ends, usually nearly all, are skipped.
    start, (old_end, new_end) = differing_range(
        [node.text() for node in old_children], [node.text() for node in new_children]
    )
    if max(old_end, new_end) - start > MAX_LIST_LENGTH:
        return None
    keys = [
        [f"{node.kind()}\n{squeezed(node.text())}" for node in nodes]
        for nodes in (old_children[start:old_end], new_children[start:new_end])
    ]
    for kind, i, i_end, j, j_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        olds, news = old_children[start + i : start + i_end], new_children[start + j : start + j_end]
        if before.kind() in CONTAINERS:
            pairs = _statements(olds, news)
        elif len(olds) == len(news) and all(n.is_named() for n in (*olds, *news)):
            pairs = list(zip(olds, news, strict=True))
        else:
            pair.own = True
            continue
        pair.parts += [part for old, new in pairs if (part := _align(old, new, depth + 1))]
    return pair if pair.own or pair.parts else None


def _children(node: SgNode) -> list[SgNode]:
    return [child for child in node.children() if child.kind() not in COMMENTS]


def differing_range(old: list[str], new: list[str]) -> tuple[int, tuple[int, int]]:
    """Return the start and the two ends of the range in which two lists differ."""
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and old[start] == new[start]:
        start += 1
    rest = 0
    while rest < shorter - start and old[-1 - rest] == new[-1 - rest]:
        rest += 1
    return start, (len(old) - rest, len(new) - rest)


def _statements(olds: list[SgNode], news: list[SgNode]) -> list[tuple[SgNode, SgNode]]:
    """Pair old and new statements: in order if their numbers are equal, else by similarity."""
    if len(olds) == len(news):
        return list(zip(olds, news, strict=True))
    if max(len(olds), len(news)) > 12:
        return []
    pairs, first = [], 0
    for old in olds:
        text = old.text()[:MAX_EDIT_CHARACTERS]
        for position in range(first, len(news)):
            matcher = SequenceMatcher(None, text, news[position].text()[:MAX_EDIT_CHARACTERS], autojunk=False)
            if (
                matcher.real_quick_ratio() >= MIN_SIMILARITY
                and matcher.quick_ratio() >= MIN_SIMILARITY
                and matcher.ratio() >= MIN_SIMILARITY
            ):
                pairs.append((old, news[position]))
                first = position + 1
                break
    return pairs


class _Collector:
    """Extracts the edits from an aligned pair of files."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        self.lines = before, after
        self.edits: list[ConcreteEdit] = []
        self.changes = 0

    def collect(self, pair: _Pair) -> tuple[tuple[int, ...], bool]:
        """Return the changes in a pair, and whether it may be part of a larger edit; adds its edits to `edits`."""
        changes: list[int] = []
        extendable = True
        for part in pair.parts:
            inside, open_ = self.collect(part)
            changes += inside
            extendable &= open_
        if pair.own:
            changes.append(self.changes)
            self.changes += 1
        before = pair.before
        container = before.kind() in CONTAINERS
        if extendable and not container and before.kind() not in PARTS and before.is_named():
            edit = self.edit(pair)
            if edit is not None:
                span = before.range()
                self.edits.append(ConcreteEdit(span.start.line + 1, span.end.line + 1, tuple(changes), edit))
        return tuple(changes), extendable and not container

    def edit(self, pair: _Pair) -> Edit | None:
        """Return the pair as terms; None if it is too large, too small, or contains more than code."""
        sides = []
        for node, lines in zip((pair.before, pair.after), self.lines, strict=True):
            if len(node.text()) > MAX_EDIT_CHARACTERS or not node.is_named() or not node.children():
                return None
            line = lines[node.range().start.line]
            indent = line[: len(line) - len(line.lstrip(" \t"))]
            sides.append(_term(node, indent, "", [MAX_TOKENS]))
        left, right = sides
        # An atom alone is text, not code.
        if (
            left is None
            or right is None
            or left.kind in ATOMS
            or right.kind in ATOMS
            or left.key == right.key
        ):
            return None
        return Edit(left, right)


def _term(node: SgNode, indent: str, gap: str, budget: list[int]) -> Term | None:
    """Return the node as a term; None if it contains comments, errors, or too many tokens."""
    kind = node.kind()
    if kind in COMMENTS or kind == "ERROR":
        return None
    children = [] if kind in ATOMS else node.children()
    if not children:
        budget[0] -= 1
        return Term(kind, node.text(), (), node.is_named(), gap) if budget[0] >= 0 else None
    terms: list[Term] = []
    text, position = node.text(), 0
    for child in children:
        child_text = child.text()
        at = text.find(child_text, position)
        between = text[position:at]
        if at < 0 or between.strip():
            return None
        position = at + len(child_text)
        # The parser has tokens without text, such as the end of an indented block.
        if not child_text:
            continue
        term = _term(child, indent, between.replace(f"\n{indent}", "\n"), budget)
        if term is None:
            return None
        terms.append(term)
    if text[position:].strip():
        return None
    return Term(kind, "", tuple(terms), node.is_named(), gap)
