"""The edits a commit made to a file, as pairs of syntax trees: what anti-unification generalises.

Belongs here: parsing the two texts of a file (as ast-grep sees them, which is who matches the rules
in the end), aligning the trees, and cutting out what changed, at every level from the smallest
node up to its statement. Does not belong here: reading texts (`small_commits`), what edits have in
common (`anti_unification`).

The alignment is the top-down part of GumTree's (Falleri et al. 2014): subtrees that are equal but
for white space are the same, the rest is paired in order. Called in worker processes: texts are
hostile.
"""

from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from ast_grep_py import SgNode, SgRoot

from qflow_dagster.evolution.mining.anti_unification import Edit, Term

# Larger texts, deeper trees, longer lists are data, or an attack.
LARGEST = 300_000
MAX_DEPTH = 150
MAX_LIST_LENGTH = 400
# Of an edit: characters and tokens of each side. What is larger is no idiom.
LONGEST_TEXT = 400
MAX_TOKENS = 48
# Statements that were rewritten are the same statement when this share of them stayed.
ALIKE = 0.6

# Nodes that are one token to us, whatever is inside.
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
# Nodes that hold statements or members: what is put in beside one does not change it.
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
# Parts that say nothing alone, and that no pattern can be: their parents are taken.
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


class Concrete(NamedTuple):
    """One edit: the line it begins in (from 1, before), the changes in it (numbers within the file), its trees."""

    line: int
    end_line: int
    changes: tuple[int, ...]
    edit: Edit


@dataclass
class _Pair:
    before: SgNode
    after: SgNode
    parts: list["_Pair"] = field(default_factory=list)
    # Something changed here that is in none of the parts.
    own: bool = False


def concrete_edits(before: str, after: str, language: str) -> list[Concrete]:
    """The edits that made `after` of `before`; none where a side is too large or too deep to say."""
    if max(len(before), len(after)) > LARGEST:
        return []
    root = _align(SgRoot(before, language).root(), SgRoot(after, language).root(), 0)
    collector = _Collector(before.split("\n"), after.split("\n"))
    if root is not None:
        collector.collect(root)
    return collector.found


def squeezed(text: str) -> str:
    """The text without white space: what formatting leaves as it is."""
    return "".join(text.split())


def _align(before: SgNode, after: SgNode, depth: int) -> _Pair | None:
    """What differs between two nodes; None where they are equal, or too large to compare."""
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
    one, other = _children(before), _children(after)
    # What is the same to the letter at both ends needs no closer look: that is nearly everything.
    start, (one_end, other_end) = _trim([node.text() for node in one], [node.text() for node in other])
    if max(one_end, other_end) - start > MAX_LIST_LENGTH:
        return None
    keys = [
        [f"{node.kind()}\n{squeezed(node.text())}" for node in nodes]
        for nodes in (one[start:one_end], other[start:other_end])
    ]
    for kind, i, i_end, j, j_end in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        olds, news = one[start + i : start + i_end], other[start + j : start + j_end]
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


def _trim(one: list[str], other: list[str]) -> tuple[int, tuple[int, int]]:
    """Where two lists begin to differ, and where they end to."""
    start, shorter = 0, min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    rest = 0
    while rest < shorter - start and one[-1 - rest] == other[-1 - rest]:
        rest += 1
    return start, (len(one) - rest, len(other) - rest)


def _statements(olds: list[SgNode], news: list[SgNode]) -> list[tuple[SgNode, SgNode]]:
    """Which statement became which: one for one, or else the ones that are alike."""
    if len(olds) == len(news):
        return list(zip(olds, news, strict=True))
    if max(len(olds), len(news)) > 12:
        return []
    pairs, first = [], 0
    for old in olds:
        text = old.text()[:LONGEST_TEXT]
        for position in range(first, len(news)):
            matcher = SequenceMatcher(None, text, news[position].text()[:LONGEST_TEXT], autojunk=False)
            if (
                matcher.real_quick_ratio() >= ALIKE
                and matcher.quick_ratio() >= ALIKE
                and matcher.ratio() >= ALIKE
            ):
                pairs.append((old, news[position]))
                first = position + 1
                break
    return pairs


class _Collector:
    """Cuts the edits out of an aligned pair of files."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        self.lines = before, after
        self.found: list[Concrete] = []
        self.changes = 0

    def collect(self, pair: _Pair) -> tuple[tuple[int, ...], bool]:
        """The changes in a pair, and whether it may be part of a larger edit; its edits are added to `found`."""
        changes: list[int] = []
        whole = True
        for part in pair.parts:
            inside, open_ = self.collect(part)
            changes += inside
            whole &= open_
        if pair.own:
            changes.append(self.changes)
            self.changes += 1
        before = pair.before
        container = before.kind() in CONTAINERS
        if whole and not container and before.kind() not in PARTS and before.is_named():
            edit = self.edit(pair)
            if edit is not None:
                span = before.range()
                self.found.append(Concrete(span.start.line + 1, span.end.line + 1, tuple(changes), edit))
        return tuple(changes), whole and not container

    def edit(self, pair: _Pair) -> Edit | None:
        """The pair as terms; None where it is too large, too small, or not code alone."""
        sides = []
        for node, lines in zip((pair.before, pair.after), self.lines, strict=True):
            if len(node.text()) > LONGEST_TEXT or not node.is_named() or not node.children():
                return None
            line = lines[node.range().start.line]
            indent = line[: len(line) - len(line.lstrip(" \t"))]
            sides.append(_term(node, indent, "", [MAX_TOKENS]))
        left, right = sides
        # An atom alone is its text: what was said, not how.
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
    """The node as a term; None where it has comments or errors in it, or too many tokens."""
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
        words = child.text()
        at = text.find(words, position)
        between = text[position:at]
        if at < 0 or between.strip():
            return None
        position = at + len(words)
        # Tokens of no text (the end of an indented block) are the parser's own.
        if not words:
            continue
        term = _term(child, indent, between.replace(f"\n{indent}", "\n"), budget)
        if term is None:
            return None
        terms.append(term)
    if text[position:].strip():
        return None
    return Term(kind, "", tuple(terms), node.is_named(), gap)
