"""Verdicts on single suggestions of a rule: did a later commit do what the rule suggests?

Suggestions are found in the file before a commit and compared with the file after it, in worker processes.
`precision` aggregates the verdicts.

A suggestion is a match in a file as it was before a later commit (no merge, at most
`mined_commits.MAX_HISTORY_FILES` files). Lines the commit did not change decide nothing. Where it changed
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
from qflow_dagster.evolution.mining import mined_commits, mined_rules
from qflow_dagster.evolution.mining.anti_unification import COMMON, OPERATORS
from qflow_dagster.evolution.mining.concrete_edits import differing_range
from qflow_dagster.evolution.mining.mined_commits import MinedCommit, TextPair
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import trees

# A window of more changed lines is a rewrite: it gives no verdict.
MAX_WINDOW = 200
# A match whose words are further than so many lines from every change was not touched.
NEAR = 6
# Longer matches (in lines) get no verdict: what changes in them is mostly what their holes captured.
MAX_MATCH_LENGTH = 40
# Lines that changed: [from, to) before, and [from, to) after.
Block = tuple[int, int, int, int]
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")
_BEGIN, _END = "\x1e", "\x1f"


class Verdict(NamedTuple):
    """The effect of a commit on a suggestion: `outcome` is right, wrong, gone or undone; lines are those before."""

    rule: int
    commit: str
    at: datetime
    path: str
    line: int
    end_line: int
    outcome: str


class Remainder(NamedTuple):
    """The number of matches of a rule that remained in a file in which a commit did what the rule suggests."""

    rule: int
    at: datetime
    path: str
    matches: int


def count_batch(
    context: tuple[Path, list[Rule]], batch: list[tuple[str, str, str]]
) -> list[tuple[int, str, int]]:
    """Return (rule, path, matches) of a batch of files (path, object id, language); runs in a worker process."""
    objects, rules = context
    finder = Finder(rules)
    results = []
    for (path, _, language), data in zip(
        batch, trees.read_blobs(objects, [(oid, path) for path, oid, _ in batch]), strict=True
    ):
        counts = finder.count(matchers.decode(data) or "", path, language)
        results += [(rule, path, count) for rule, count in counts.items()]
    return results


def judge_batch(
    context: tuple[Path, list[tuple[Rule, datetime]]], batch: list[MinedCommit]
) -> tuple[int, list[Verdict], list[Remainder]]:
    """Return the number of commits, and their verdicts and remainders of each rule since its time.

    Runs in a worker process.
    """
    objects, rules = context
    finder = Finder([rule for rule, _ in rules])
    commit_verdicts: list[Verdict] = []
    remainders: list[Remainder] = []
    for commit, pairs in mined_commits.read_texts(objects, batch):
        finder.only = {i for i, (_, since) in enumerate(rules) if since <= commit.at}
        for pair in pairs:
            path, language = pair.file.path, pair.file.language
            decided = verdicts(finder, pair)
            commit_verdicts += [
                Verdict(rule, commit.oid, commit.at, path, line, end_line, outcome)
                for rule, line, end_line, outcome in decided
            ]
            if followed := {rule for rule, _, _, outcome in decided if outcome == "right"}:
                finder.only, only = followed, finder.only
                counts = finder.count(pair.after, path, language)
                finder.only = only
                remainders += [Remainder(rule, commit.at, path, counts[rule]) for rule in followed]
    return len(batch), commit_verdicts, remainders


class Suggestion(NamedTuple):
    """A match of a rule (its position) and the text its fix puts there; lines are counted from 1."""

    rule: int
    start: int
    end: int
    line: int
    end_line: int
    text: str


class Finder:
    """Finds matches and suggestions, evaluating only rules whose required words are in the text."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.required = [required(rule) for rule in rules]
        self.configs = [rule.matcher.ast_grep and rule.matcher.ast_grep.config() for rule in rules]
        self.exchanges = [exchange(rule) for rule in rules]
        # The rules that are evaluated now.
        self.only = set(range(len(rules)))

    def possible(self, texts: Sequence[str], language: str) -> list[int]:
        """Return the rules that may match in one of the texts."""
        words_by_text = [(text, set(_WORD.findall(text))) for text in texts]
        return [i for i in self.only if language in self.rules[i].language and self._may(i, words_by_text)]

    def _may(self, rule: int, words_by_text: Iterable[tuple[str, set[str]]]) -> bool:
        words, signs = self.required[rule]
        return any(
            words <= text_words and all(sign in text for sign in signs) for text, text_words in words_by_text
        )

    def count(self, text: str, path: str, language: str) -> dict[int, int]:
        """Count the matches of each rule in a text."""
        possible = set(self.possible([text], language))
        counts: dict[int, int] = defaultdict(int)
        if possible:
            rules = [rule if i in possible else None for i, rule in enumerate(self.rules)]
            for match in matchers.find(matchers.Source(text, path), language, rules):
                counts[match.rule] += 1
        return counts

    def suggestions(self, text: str, path: str, language: str, blocks: Sequence[Block]) -> list[Suggestion]:
        """Return the suggestions of the rules in the statements that changed."""
        lines = text.split("\n")
        near = ["\n".join(lines[max(0, start - NEAR) : end + NEAR]) for start, end, _, _ in blocks]
        possible = self.possible(near, language)
        if not possible:
            return []
        source = matchers.Source(text, path)
        suggestions = []
        for node in _regions(SgRoot(text, language).root(), blocks):
            region = node.text()
            words_by_text = [(region, set(_WORD.findall(region)))]
            for i in possible:
                config, fix = self.configs[i], self.rules[i].fix
                if config is None or fix is None or not self._may(i, words_by_text):
                    continue
                for match in node.find_all(config):  # type: ignore[arg-type]
                    span = match.range()
                    start = span.start.index
                    replacement = matchers.fill(source, fix, match, start)
                    suggestions.append(
                        Suggestion(
                            i, start, span.end.index, span.start.line + 1, span.end.line + 1, replacement
                        )
                    )
        return suggestions


def _regions(node: SgNode, blocks: Sequence[Block]) -> Iterator[SgNode]:
    """Yield the largest nodes of at most `MAX_MATCH_LENGTH` lines that contain changed lines."""
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
    """Return the words and operators that a text needs for a match of a mined rule; empty if unknown."""
    if rule.pack != mined_rules.PACK or rule.matcher.ast_grep is None:
        return set(), set()
    config = rule.matcher.ast_grep.rule
    pattern = config["pattern"] if "pattern" in config else config["all"][0]["pattern"]
    if isinstance(pattern, dict):
        # The words of the wrapper around the pattern need not be in a match.
        return mined_rules.words_of(pattern["context"]) - mined_rules.WRAPPING, set()
    return mined_rules.words_of(pattern), {sign for sign in OPERATORS if sign in pattern}


def exchange(rule: Rule) -> tuple[list[str], list[str]]:
    """Return the words (as `_tokens` encodes them) that a mined rule removes, and those it adds."""
    words, _ = required(rule)
    fix = mined_rules.words_of(rule.fix or "")
    return [_tokens(word) for word in sorted(words - fix)], [_tokens(word) for word in sorted(fix - words)]


def verdicts(finder: "Finder", pair: TextPair) -> list[tuple[int, int, int, str]]:
    """Return (rule, first line, last line, outcome) of each suggestion that a commit decided in one file."""
    path, language = pair.file.path, pair.file.language
    blocks = _blocks(pair.before, pair.after)
    mirrored = [(j, j_end, i, i_end) for i, i_end, j, j_end in blocks]
    results = []
    for text, other, changed, backwards in (
        (pair.before, pair.after, blocks, False),
        (pair.after, pair.before, mirrored, True),
    ):
        suggestions = finder.suggestions(text, path, language, changed)
        judge = _Judge(finder, suggestions, text.split("\n"), other.split("\n"), changed)
        for suggestion in suggestions:
            outcome = judge.outcome(suggestion)
            if backwards:
                outcome = "undone" if outcome == "right" else ""
            if outcome:
                results.append((suggestion.rule, suggestion.line, suggestion.end_line, outcome))
    return results


def _blocks(before: str, after: str) -> list[Block]:
    """Return the lines that changed: [from, to) before, and after."""
    old, new = before.split("\n"), after.split("\n")
    start, (old_end, new_end) = differing_range(old, new)
    matcher = SequenceMatcher(None, old[start:old_end], new[start:new_end])
    return [
        (start + i, start + i_end, start + j, start + j_end)
        for kind, i, i_end, j, j_end in matcher.get_opcodes()
        if kind != "equal"
    ]


class _Window(NamedTuple):
    """The lines [start, end) of a match and all changed blocks that touch it, and the lines that replaced them."""

    start: int
    end: int
    new_start: int
    new_end: int
    deleted: bool


class _Text(NamedTuple):
    """The text of a window, its offset in the file, and its tokens before and after the commit."""

    text: str
    offset: int
    before: str
    after: str


class _Judge:
    """Classifies the suggestions in one file; results are cached, because most share a window."""

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
        for suggestion in suggestions:
            self.of_rule[suggestion.rule].append(suggestion)
        self.text = cache(self._text)
        self.all_followed = cache(self._all_followed)

    def outcome(self, match: Suggestion) -> str:
        """Return the verdict on one suggestion; '' if there is none."""
        window = self._window(match)
        if window is None:
            return ""
        _, offset, before, after = text = self.text(window)
        if self.all_followed(match.rule, window) == after:
            return "right" if before != after else ""
        old_tokens, new_tokens = (
            _tokens(text.text[match.start - offset : match.end - offset]),
            _tokens(match.text),
        )
        expected = _fixed(text, [match])
        # A single additional token may come from anywhere.
        was_applied = new_tokens.count(_END) > 1 and after.count(new_tokens) >= expected.count(
            new_tokens
        ) > before.count(new_tokens)
        if was_applied and after.count(old_tokens) <= expected.count(old_tokens):
            return "right"
        if after.count(old_tokens) >= before.count(old_tokens):
            return ""
        if self.exchanged(match.rule, before, after):
            return "right"
        stayed = set(_WORD.findall(before)) & set(_WORD.findall(after)) - COMMON
        return "wrong" if stayed and after and not window.deleted else "gone"

    def exchanged(self, rule: int, before: str, after: str) -> bool:
        """Return whether there are fewer of all words the fix removes, and more of all it adds."""
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

    def _all_followed(self, rule: int, window: _Window) -> str:
        """Return the tokens of a window in which all suggestions of a rule were followed."""
        inside = [
            suggestion
            for suggestion in self.of_rule[rule]
            if window.start < suggestion.line and suggestion.end_line <= window.end
        ]
        return _fixed(self.text(window), inside)


def _fixed(window: _Text, suggestions: Sequence[Suggestion]) -> str:
    edits = [
        matchers.Edit(suggestion.start - window.offset, suggestion.end - window.offset, suggestion.text)
        for suggestion in suggestions
    ]
    return _tokens(matchers.apply_edits(window.text, edits))


def _tokens(text: str) -> str:
    """Return the tokens of a text, each between marks, so that substring counts count complete tokens."""
    marked = "".join(f"{_BEGIN}{token}{_END}" for token in _TOKEN.findall(text))
    for bracket in ")]}":
        marked = marked.replace(f"{_BEGIN},{_END}{_BEGIN}{bracket}{_END}", f"{_BEGIN}{bracket}{_END}")
    return marked
