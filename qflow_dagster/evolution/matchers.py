"""Evaluating rules of ast-grep and of Python functions on one file: matches and their edits.

Ruff is run in `ruff_matcher`, conditions on measures in `metric_findings`; `rule_engine` selects the files.

Imported by worker processes: no database here. Offsets are characters of the decoded text, lines
and columns start at 1.
"""

import bisect
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ast_grep_py import SgNode, SgRoot

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import context, functions
from qflow_dagster.evolution.analysis.tree import Tree
from qflow_dagster.evolution.metavariables import PLACEHOLDER, VARIABLE
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.suppressions import Suppressions
from qflow_dagster.ingestion import languages

# Names of languages in rules and ast-grep -> names in ingestion.
LANGUAGES = {
    "python": "Python",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "tsx": "TSX",
    "go": "Go",
    "rust": "Rust",
    "java": "Java",
}
MAX_SNIPPET_LENGTH = 300
_LINE = re.compile(r"\r\n|\r|\n")


def rule_language(detected: str, path: str = "") -> str:
    """Return the name that rules use for a detected language; '' if no rule supports it.

    Some repositories give all files one language in `.gitattributes`, for statistics: a file whose name says another
    language is not read as that one.
    """
    named = languages.detect(path, b"") if path and detected in LANGUAGES.values() else ""
    if named and named != detected:
        detected = named
    return next((name for name, language in LANGUAGES.items() if language == detected), "")


class Edit(NamedTuple):
    """Replace the characters from `start` to `end` by `text`."""

    start: int
    end: int
    text: str


class Match(NamedTuple):
    """One location that a rule matches; `rule` is its position in the list of rules."""

    rule: int
    start: int
    end: int
    line: int
    end_line: int
    column: int
    message: str
    snippet: str
    # First 16 bytes of the SHA-256 of its first line, white space folded: stable when the code moves.
    anchor: bytes
    edits: list[Edit] | None
    suppressed: bool
    # The spans of what the pattern captured, by the name of its metavariable.
    captures: Mapping[str, tuple[int, int]] = {}


class Source:
    """A decoded file with the offsets of its lines, its syntax tree and its suppression comments."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        self.starts = [0, *(line.end() for line in _LINE.finditer(text))]
        self._trees: dict[str, Tree] = {}

    @cached_property
    def suppressions(self) -> Suppressions:
        """The comments that suppress rules."""
        return Suppressions(self.text, self.starts, self.path, self.root)

    def tree(self, language: str) -> Tree:
        """Return its syntax tree, parsed on first use."""
        if language not in self._trees:
            self._trees[language] = Tree(SgRoot(self.text, language).root(), language)
        return self._trees[language]

    def root(self, language: str) -> SgNode:
        """Return the root of its syntax tree."""
        return self.tree(language).root

    def line_of(self, offset: int) -> int:
        """Return the line of an offset."""
        return bisect.bisect_right(self.starts, offset)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line and column."""
        return min(self.starts[min(line, len(self.starts)) - 1] + column - 1, len(self.text))

    def match(
        self,
        number: int,
        rule: Rule,
        start: int,
        end: int,
        message: str,
        edits: list[Edit] | None,
        *,
        complete_lines: bool = True,
        captures: Mapping[str, tuple[int, int]] | None = None,
    ) -> Match:
        """Create a match of a span by the rule of that number.

        Without `complete_lines` (for secrets) the snippet is the span alone.
        """
        line, end_line = self.line_of(start), self.line_of(max(start, end - 1))
        first = self.starts[line - 1] if complete_lines else start
        last = (
            (self.starts[end_line] if end_line < len(self.starts) else len(self.text))
            if complete_lines
            else end
        )
        snippet = self.text[first : min(last, first + MAX_SNIPPET_LENGTH)].rstrip().replace("\0", "\ufffd")
        folded = " ".join(_LINE.split(snippet.lstrip(), maxsplit=1)[0].split())
        anchor = hashlib.sha256(folded.encode(errors="replace")).digest()[:16]
        return Match(
            number,
            start,
            end,
            line,
            end_line,
            start - self.starts[line - 1] + 1,
            message,
            snippet,
            anchor,
            edits,
            self.suppressions.covers(rule, line, end_line),
            captures or {},
        )


def decode(data: bytes) -> str | None:
    """Decode a file; None if it is not UTF-8, then it is not evaluated."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def find(source: Source, language: str, rules: Sequence[Rule | None]) -> list[Match]:
    """Return the matches of ast-grep and function rules in a file; entries that are None are skipped."""
    matches: list[Match] = []
    for number, rule in enumerate(rules):
        if rule is None or not applies(rule, language):
            continue
        if rule.matcher.function is not None:
            for start, end, message in functions.FUNCTIONS[rule.matcher.function](source.text):
                if satisfies_where(rule, source, language, start, end):
                    message = message or rule.title
                    matches.append(
                        source.match(number, rule, start, end, message, None, complete_lines=False)
                    )
        elif rule.matcher.ast_grep is not None:
            config, where = rule.matcher.ast_grep.config(), rule.matcher.where
            for node in source.root(language).find_all(config):  # type: ignore[arg-type]
                if (where is None or node.matches(**where)) and context.holds(
                    rule.matcher.context, source.tree(language), node
                ):
                    matches.append(_ast_match(source, number, rule, node))
    return matches


def covering(root: SgNode, start: int, end: int) -> SgNode:
    """Return the node for a span: the smallest named node covering it, or the largest with the same extent.

    A descendant is preferred to the root: for a file of one statement it is the statement.
    """
    node: SgNode | None = root
    largest = root
    while node is not None:
        span, largest_span = node.range(), largest.range()
        if largest == root or (span.start, span.end) != (largest_span.start, largest_span.end):
            largest = node
        node = next(
            (child for child in node.children() if child.is_named() and _covers(child, start, end)), None
        )
    return largest


def satisfies_where(rule: Rule, source: Source, language: str, start: int, end: int) -> bool:
    """Return whether the node of a span satisfies the rule's `where` (true if it has none)."""
    where = rule.matcher.where
    return where is None or covering(source.root(language), start, end).matches(**where)


def _covers(node: SgNode, start: int, end: int) -> bool:
    span = node.range()
    return span.start.index <= start and end <= span.end.index


def applies(rule: Rule, language: str) -> bool:
    """Return whether a rule is for that language."""
    return language in rule.language or "any" in rule.language


def check_matcher(rule: Rule) -> None:
    """Check that the engine of a rule accepts its matcher.

    Raises:
        UsageError: It does not; the message is the engine's.
    """
    matcher = rule.matcher
    if matcher.function is not None and matcher.function not in functions.FUNCTIONS:
        raise UsageError(f"{rule.id}: no function {matcher.function!r}: {', '.join(functions.FUNCTIONS)}")
    if unknown := set(rule.language) - {*LANGUAGES, "any"}:
        raise UsageError(
            f"{rule.id}: no language {unknown.pop()!r}; there are {', '.join(LANGUAGES)} and any"
        )
    for language in rule.language:
        if matcher.ast_grep is not None and (problem := _config_problem(matcher.ast_grep.config(), language)):
            raise UsageError(f"{rule.id} ({language}): {problem}")
        if matcher.where is not None and (problem := problem_of(matcher.where, language)):
            raise UsageError(f"{rule.id} ({language}), where: {problem}")
    for condition in matcher.context:
        if problem := context.problem_of(condition):
            raise UsageError(f"{rule.id}: {problem}")


def problem_of(rule: dict[str, Any], language: str) -> str | None:
    """Return why ast-grep rejects a rule object for that language; None if it accepts it."""
    return _config_problem({"rule": rule}, language)


def _config_problem(config: dict[str, Any], language: str) -> str | None:
    try:
        SgRoot("", language).root().find_all(config)  # type: ignore[arg-type]
    # The binding raises plain exceptions, with a native stack trace behind the reason.
    except Exception as error:
        return " ".join(str(error).split("Stack backtrace")[0].split())
    return None


def _ast_match(source: Source, number: int, rule: Rule, node: SgNode) -> Match:
    span = node.range()
    start, end = span.start.index, span.end.index
    message = rule.title
    if rule.matcher.ast_grep and rule.matcher.ast_grep.message:
        message = PLACEHOLDER.sub(
            lambda name: _captured(source.text, node, name[1], False), rule.matcher.ast_grep.message
        )
    edits = None
    if rule.fix is not None and not rule.fix.startswith("codemod"):
        text = fill(source, rule.fix, node, start)
        edits = [Edit(start, end, text) if text else _deletion(source, start, end)]
    return source.match(number, rule, start, end, message, edits, captures=_captures(rule, node))


def _deletion(source: Source, start: int, end: int) -> Edit:
    """Return the edit that deletes a span, with its lines where nothing else is on them."""
    first, last = source.line_of(start), source.line_of(max(start, end - 1))
    next_line = source.starts[last] if last < len(source.starts) else len(source.text)
    around = source.text[source.starts[first - 1] : start] + source.text[end:next_line]
    return Edit(start, end, "") if around.strip() else Edit(source.starts[first - 1], next_line, "")


def _captures(rule: Rule, node: SgNode) -> dict[str, tuple[int, int]]:
    if not rule.requires and rule.fix != "codemod":
        return {}
    names = {single for _, single in VARIABLE.findall(json.dumps(rule.matcher.model_dump())) if single}
    captured = {name: node.get_match(name) for name in names}
    return {
        name: (found.range().start.index, found.range().end.index)
        for name, found in captured.items()
        if found is not None
    }


def fill(source: Source, template: str, node: SgNode, start: int) -> str:
    """Fill a fix template with what the match captured; further lines are indented like the first."""
    line = source.text[source.starts[source.line_of(start) - 1] :]
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    body = template.rstrip("\n").replace("\n", f"\n{indent}")
    return VARIABLE.sub(lambda name: _captured(source.text, node, name[1] or name[2], bool(name[1])), body)


def _captured(text: str, node: SgNode, name: str, multiple: bool) -> str:
    if multiple:
        nodes = node.get_multiple_matches(name)
        return text[nodes[0].range().start.index : nodes[-1].range().end.index] if nodes else ""
    captured = node.get_match(name)
    if captured is not None:
        return captured.text()
    return node.get_transformed(name) or ""


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits to a text; an edit that overlaps an earlier one is skipped (the next round finds it again)."""
    return apply_changes(text, [[edit] for edit in sorted(set(edits))])[0]


def apply_changes(text: str, changes: Iterable[Sequence[Edit]]) -> tuple[str, list[int]]:
    """Apply changes, each of one or more edits, to a text; return the new text and the positions of those applied.

    A change is applied as a whole or not at all: not if one of its edits overlaps an edit of an earlier change.
    Equal edits of two changes (both add the same import) are applied once.
    """
    accepted: list[Edit] = []
    applied = []
    for position, change in enumerate(changes):
        slots = [(edit, bisect.bisect_left(accepted, edit)) for edit in change]
        new = [(edit, slot) for edit, slot in slots if accepted[slot : slot + 1] != [edit]]
        neighbours = [(edit, accepted[max(0, slot - 1) : slot + 1]) for edit, slot in new]
        if change and not any(_overlap(edit, other) for edit, others in neighbours for other in others):
            for edit, _ in new:
                bisect.insort(accepted, edit)
            applied.append(position)
    parts, end = [], 0
    for edit in accepted:
        parts += [text[end : edit.start], edit.text]
        end = edit.end
    return "".join([*parts, text[end:]]), applied


def _overlap(a: Edit, b: Edit) -> bool:
    if a.start == a.end or b.start == b.end:
        # An insertion at the edge of a replaced span does not touch it.
        return a.start < b.start < a.end or b.start < a.start < b.end
    return a.start < b.end and b.start < a.end
