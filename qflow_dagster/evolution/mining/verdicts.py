"""What one commit says of a rule: was its suggestion followed?

Belongs here: finding suggestions in a file before a commit and comparing with the file after it, in
worker processes. Does not belong here: adding up (`precision`).

A suggestion is a match in a file as it was before a later commit (no merge, at most
`commit_selection.MAX_HISTORY_FILES` files). Lines the commit left alone decide nothing. Where it changed
lines of the match, the window of all changed blocks that meet the match is compared, as
tokens (white space and commas before a bracket do not count):

- right: the window became what the rule's fix makes of it; or it has one more of what the fix
  makes of the match, and no more of the match than the fix would leave; or the words that the fix
  exchanges were exchanged (fewer of the old, more of the new), whatever else changed with them;
- gone: the window was deleted, or no word of it (words of everywhere aside) is in what took its place;
- untouched: there are as many copies of the match as before;
- wrong: anything else, a change inside of what a hole took included.

Undone is the opposite edit: a match of the file *after* the commit that would be right backwards.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from ast_grep_py import SgNode, SgRoot

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining import mined_rules, small_commits
from qflow_dagster.evolution.mining.anti_unification import COMMON, OPERATORS
from qflow_dagster.evolution.mining.small_commits import MinedCommit, TextPair
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import trees

# A window of more changed lines is a rewrite: what became of one match in it cannot be said.
MAX_WINDOW = 200
# A match whose words are further (lines) from all that changed was not touched, whatever it holds.
NEAR = 6
# A longer match (in lines) is not judged: what changed in it is mostly what its holes took.
MAX_MATCH_LENGTH = 40
# Lines that changed: [from, to) before, and [from, to) after.
Block = tuple[int, int, int, int]
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")
_BEGIN, _END = "\x1e", "\x1f"


class Verdict(NamedTuple):
    """What a commit did at one suggestion: `outcome` is right, wrong, gone or undone; lines are those before."""

    rule: int
    commit: str
    at: datetime
    path: str
    line: int
    end_line: int
    outcome: str


class Left(NamedTuple):
    """A commit did in a file what a rule says, and left so many more matches of the rule there."""

    rule: int
    at: datetime
    path: str
    matches: int


def count_batch(
    context: tuple[Path, list[Rule]], batch: list[tuple[str, str, str]]
) -> list[tuple[int, str, int]]:
    """In a worker process: (rule, path, matches) in a batch of files (path, object id, language)."""
    objects, rules = context
    finder = Finder(rules)
    found = []
    for (path, _, language), data in zip(
        batch, trees.read_blobs(objects, [(oid, path) for path, oid, _ in batch]), strict=True
    ):
        counts = finder.count(matchers.decode(data) or "", path, language)
        found += [(rule, path, count) for rule, count in counts.items()]
    return found


def judge_batch(
    context: tuple[Path, list[tuple[Rule, datetime]]], batch: list[MinedCommit]
) -> tuple[int, list[Verdict], list[Left]]:
    """In a worker process: the number of commits, and what they say of the rules, each from its day on."""
    objects, rules = context
    finder = Finder([rule for rule, _ in rules])
    found: list[Verdict] = []
    left: list[Left] = []
    for commit, pairs in small_commits.read_texts(objects, batch):
        finder.only = {i for i, (_, since) in enumerate(rules) if since <= commit.at}
        for pair in pairs:
            path, language = pair.file.path, pair.file.language
            decided = verdicts(finder, pair)
            found += [
                Verdict(rule, commit.oid, commit.at, path, line, end_line, outcome)
                for rule, line, end_line, outcome in decided
            ]
            if followed := {rule for rule, _, _, outcome in decided if outcome == "right"}:
                finder.only, only = followed, finder.only
                counts = finder.count(pair.after, path, language)
                finder.only = only
                left += [Left(rule, commit.at, path, counts[rule]) for rule in followed]
    return len(batch), found, left


class Suggestion(NamedTuple):
    """A match of a rule (its position) and the text its fix puts there; lines are counted from 1."""

    rule: int
    start: int
    end: int
    line: int
    end_line: int
    text: str


class Finder:
    """Finds, asking only the rules whose words a text has."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.required = [required(rule) for rule in rules]
        self.configs = [rule.matcher.ast_grep and rule.matcher.ast_grep.config() for rule in rules]
        self.exchanges = [exchange(rule) for rule in rules]
        # The rules that are asked now.
        self.only = set(range(len(rules)))

    def asked(self, texts: Sequence[str], language: str) -> list[int]:
        """The rules that may find something in one of the texts."""
        there = [(text, set(_WORD.findall(text))) for text in texts]
        return [i for i in self.only if language in self.rules[i].language and self._may(i, there)]

    def _may(self, rule: int, there: Iterable[tuple[str, set[str]]]) -> bool:
        words, signs = self.required[rule]
        return any(words <= known and all(sign in text for sign in signs) for text, known in there)

    def count(self, text: str, path: str, language: str) -> dict[int, int]:
        """How often each rule finds something in a text."""
        asked = set(self.asked([text], language))
        counts: dict[int, int] = defaultdict(int)
        if asked:
            rules = [rule if i in asked else None for i, rule in enumerate(self.rules)]
            for match in matchers.find(matchers.Source(text, path), language, rules):
                counts[match.rule] += 1
        return counts

    def suggestions(self, text: str, path: str, language: str, blocks: Sequence[Block]) -> list[Suggestion]:
        """What the rules find in the statements that changed."""
        lines = text.split("\n")
        near = ["\n".join(lines[max(0, start - NEAR) : end + NEAR]) for start, end, _, _ in blocks]
        asked = self.asked(near, language)
        if not asked:
            return []
        source = matchers.Source(text, path)
        found = []
        for node in _regions(SgRoot(text, language).root(), blocks):
            region = node.text()
            there = [(region, set(_WORD.findall(region)))]
            for i in asked:
                config, fix = self.configs[i], self.rules[i].fix
                if config is None or fix is None or not self._may(i, there):
                    continue
                for match in node.find_all(config):  # type: ignore[arg-type]
                    span = match.range()
                    start = span.start.index
                    made = matchers.fill(source, fix, match, start)
                    found.append(
                        Suggestion(i, start, span.end.index, span.start.line + 1, span.end.line + 1, made)
                    )
        return found


def _regions(node: SgNode, blocks: Sequence[Block]) -> Iterator[SgNode]:
    """The largest nodes of no more than `MAX_MATCH_LENGTH` lines that changed lines are in."""
    span = node.range()
    first, last = span.start.line, span.end.line
    if not any(start <= last and max(end, start + 1) > first for start, end, _, _ in blocks):
        return
    if last - first < MAX_MATCH_LENGTH:
        yield node
    else:
        for child in node.children():
            yield from _regions(child, blocks)


def required(rule: Rule) -> tuple[set[str], set[str]]:
    """Words, and other signs, a text needs to have a match of a mined rule; none where that is not known."""
    if rule.pack != mined_rules.PACK or rule.matcher.ast_grep is None:
        return set(), set()
    given = rule.matcher.ast_grep.rule
    pattern = given["pattern"] if "pattern" in given else given["all"][0]["pattern"]
    if isinstance(pattern, dict):
        # Of the words of the context, those of its wrapper need not be in a match.
        return mined_rules.words_of(pattern["context"]) - mined_rules.WRAPPING, set()
    return mined_rules.words_of(pattern), {sign for sign in OPERATORS if sign in pattern}


def exchange(rule: Rule) -> tuple[list[str], list[str]]:
    """The words (as `_tokens` has them) that a mined rule takes out, and those it puts in."""
    words, _ = required(rule)
    fix = mined_rules.words_of(rule.fix or "")
    return [_tokens(word) for word in sorted(words - fix)], [_tokens(word) for word in sorted(fix - words)]


def verdicts(finder: "Finder", pair: TextPair) -> list[tuple[int, int, int, str]]:
    """(rule, first line, last line, outcome) of each suggestion a commit decided in one file."""
    path, language = pair.file.path, pair.file.language
    blocks = _blocks(pair.before, pair.after)
    mirrored = [(j, j_end, i, i_end) for i, i_end, j, j_end in blocks]
    found = []
    for text, other, changed, backwards in (
        (pair.before, pair.after, blocks, False),
        (pair.after, pair.before, mirrored, True),
    ):
        suggestions = finder.suggestions(text, path, language, changed)
        judge = _Judge(finder, suggestions, text.split("\n"), other.split("\n"), changed)
        for one in suggestions:
            outcome = judge.outcome(one)
            if backwards:
                outcome = "undone" if outcome == "right" else ""
            if outcome:
                found.append((one.rule, one.line, one.end_line, outcome))
    return found


def _blocks(before: str, after: str) -> list[Block]:
    """The lines that changed: [from, to) before, and after."""
    one, other = before.split("\n"), after.split("\n")
    start, shorter = 0, min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    rest = 0
    while rest < shorter - start and one[-1 - rest] == other[-1 - rest]:
        rest += 1
    matcher = SequenceMatcher(None, one[start : len(one) - rest], other[start : len(other) - rest])
    return [
        (start + i, start + i_end, start + j, start + j_end)
        for kind, i, i_end, j, j_end in matcher.get_opcodes()
        if kind != "equal"
    ]


class _Window(NamedTuple):
    """The lines [start, end) of all changed blocks that meet a match, and of the match; what took their place."""

    start: int
    end: int
    new_start: int
    new_end: int
    deleted: bool


class _Text(NamedTuple):
    """A window as it was, from which character on, and its tokens before and after."""

    text: str
    offset: int
    before: str
    after: str


class _Judge:
    """Says what became of the suggestions in one file; most share a window with others of theirs."""

    def __init__(
        self,
        finder: "Finder",
        suggestions: Sequence[Suggestion],
        lines: Sequence[str],
        others: Sequence[str],
        blocks: Sequence[Block],
    ) -> None:
        self.finder, self.lines, self.others, self.blocks = finder, lines, others, blocks
        self.offsets = [0, *accumulate(len(line) + 1 for line in lines)]
        self.of_rule: dict[int, list[Suggestion]] = defaultdict(list)
        for one in suggestions:
            self.of_rule[one.rule].append(one)
        self.text = cache(self._text)
        self.wholly = cache(self._wholly)

    def outcome(self, match: Suggestion) -> str:
        """What became of one suggestion; '' where that says nothing."""
        window = self._window(match)
        if window is None:
            return ""
        _, offset, before, after = text = self.text(window)
        if self.wholly(match.rule, window) == after:
            return "right" if before != after else ""
        was, made = _tokens(text.text[match.start - offset : match.end - offset]), _tokens(match.text)
        expected = _fixed(text, [match])
        # One token that is there more often may have come from anywhere.
        became = made.count(_END) > 1 and after.count(made) >= expected.count(made) > before.count(made)
        if became and after.count(was) <= expected.count(was):
            return "right"
        if after.count(was) >= before.count(was):
            return ""
        if self.exchanged(match.rule, before, after):
            return "right"
        stayed = set(_WORD.findall(before)) & set(_WORD.findall(after)) - COMMON
        return "wrong" if stayed and after and not window.deleted else "gone"

    def exchanged(self, rule: int, before: str, after: str) -> bool:
        """Whether there are fewer of all words the fix takes out, and more of all it puts in."""
        old, new = self.finder.exchanges[rule]
        return bool(old and new) and all(
            (after.count(word) - before.count(word)) * sign > 0
            for words, sign in ((old, -1), (new, 1))
            for word in words
        )

    def _window(self, match: Suggestion) -> _Window | None:
        first, last = match.line - 1, match.end_line - 1
        touching = [
            b
            for b in self.blocks
            if (b[0] <= last and b[1] > first) or (b[0] == b[1] and first < b[0] <= last)
        ]
        if not touching:
            return None
        start, end = min(first, touching[0][0]), max(last + 1, touching[-1][1])
        new_start = touching[0][2] - (touching[0][0] - start)
        new_end = touching[-1][3] + (end - touching[-1][1])
        if max(end - start, new_end - new_start) > MAX_WINDOW:
            return None
        return _Window(start, end, new_start, new_end, all(block[2] == block[3] for block in touching))

    def _text(self, window: _Window) -> _Text:
        text = "\n".join(self.lines[window.start : window.end])
        after = _tokens("\n".join(self.others[window.new_start : window.new_end]))
        return _Text(text, self.offsets[window.start], _tokens(text), after)

    def _wholly(self, rule: int, window: _Window) -> str:
        """The tokens of a window in which all suggestions of a rule were followed."""
        inside = [one for one in self.of_rule[rule] if window.start < one.line and one.end_line <= window.end]
        return _fixed(self.text(window), inside)


def _fixed(window: _Text, some: Sequence[Suggestion]) -> str:
    edits = [matchers.Edit(one.start - window.offset, one.end - window.offset, one.text) for one in some]
    return _tokens(matchers.apply_edits(window.text, edits))


def _tokens(text: str) -> str:
    """The tokens of a text, each between marks, so that counting one text in another counts whole tokens."""
    marked = "".join(f"{_BEGIN}{token}{_END}" for token in _TOKEN.findall(text))
    for bracket in ")]}":
        marked = marked.replace(f"{_BEGIN},{_END}{_BEGIN}{bracket}{_END}", f"{_BEGIN}{bracket}{_END}")
    return marked
