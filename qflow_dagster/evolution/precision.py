"""How often a rule is right: its suggestions against what people did to that code later.

Belongs here: what counts as right and wrong, and judging rules on a stretch of history. Does not
belong here: mining the rules (`rule_miner`).

A suggestion is a match in a file as it was before a later commit (no merge, at most
`small_commits.MOST_FILES_EVER` files). Lines the commit left alone decide nothing. Where it changed
lines of the match, the window of all changed blocks that meet the match is compared, as
tokens (white space and commas before a bracket do not count):

- right: the window became what the rule's fix makes of it, or it has one more of what the fix
  makes of the match, and no more of the match than the fix would leave;
- gone: the window was deleted, nothing took its place;
- untouched: there are as many copies of the match as before;
- wrong: anything else, a change inside of what a hole took included.

Undone is the opposite edit: a match of the file *after* the commit that would be right backwards.
Precision = right / (right + wrong + undone). Gone and untouched suggestions are undecided, and so
are those that nobody came by: they are counted (`open`), and no estimate is made of them.

Recall is measured on the edits of small later commits that occur in at least two of them, token
for token: the share of changes that one of the rules' right suggestions covers.
"""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers, mined_rules, small_commits
from qflow_dagster.evolution.anti_unification import concreteness, digest
from qflow_dagster.evolution.concrete_edits import Concrete, concrete_edits
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.small_commits import BATCH_FILES, MinedCommit, Report, TextPair
from qflow_dagster.ingestion import git, trees
from qflow_dagster.ingestion import languages as detection
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.processes import Lost, in_processes

PROCESSES = 2
STALL_SECONDS = 60.0
# A window of more changed lines is a rewrite: what became of one match in it cannot be said.
LONGEST_WINDOW = 200
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")


class Verdict(NamedTuple):
    """What a commit did at one suggestion: `outcome` is right, wrong, gone or undone; lines are those before."""

    rule: int
    commit: str
    at: datetime
    path: str
    line: int
    end_line: int
    outcome: str


class Score(NamedTuple):
    """How many suggestions of a rule were what; `open` are its matches in the code at the end."""

    right: int = 0
    wrong: int = 0
    undone: int = 0
    gone: int = 0
    open: int = 0

    @property
    def decided(self) -> int:
        """The suggestions that say something."""
        return self.right + self.wrong + self.undone

    @property
    def precision(self) -> float | None:
        """The share of the decided that was right; None where none was decided."""
        return self.right / self.decided if self.decided else None


class Evaluation(NamedTuple):
    """Rules against a stretch of history: scores in the order of the rules, and what there was to predict."""

    scores: list[Score]
    commits: int
    repeated: int
    predicted: int
    seconds: float

    @property
    def total(self) -> Score:
        """All rules together."""
        return Score(*map(sum, zip(*self.scores, strict=True))) if self.scores else Score()

    @property
    def recall(self) -> float | None:
        """The share of repeated changes that was predicted; None where nothing was repeated."""
        return self.predicted / self.repeated if self.repeated else None


class Judged(NamedTuple):
    """Of one commit: the verdicts on the rules, and its changes by the keys of their edits."""

    commit: str
    verdicts: list[Verdict]
    # (path, number of the change, first line, last line, the keys of the edits it is in)
    changes: list[tuple[str, int, int, int, frozenset[bytes]]]


def evaluate(
    objects: Path,
    rules: Sequence[Rule],
    *,
    after: datetime,
    tip: str,
    until: datetime | None = None,
    most_commits: int = 20_000,
    processes: int = PROCESSES,
    progress: Report | None = None,
) -> Evaluation:
    """Judge `rules` on the commits that lead to `tip` and were committed after `after` (to `until`).

    Raises:
        GitError: the history cannot be read.
    """
    started = time.monotonic()
    chosen = sorted({language for rule in rules for language in rule.language} or matchers.LANGUAGES)
    read, commits = small_commits.read_commits(
        objects, tip=tip, since=after, until=until, chosen=chosen, most_commits=most_commits,
        processes=processes, progress=progress,
    )  # fmt: skip
    judged = judge(objects, rules, commits, processes=processes, progress=progress)
    found = count_open(objects, rules, tip_at(objects, tip, until), processes=processes, progress=progress)
    scores = scores_of([verdict for one in judged for verdict in one.verdicts], len(rules))
    scores = [score._replace(open=sum(found[i].values())) for i, score in enumerate(scores)]
    repeated, predicted = _recall(judged)
    return Evaluation(scores, read, repeated, predicted, time.monotonic() - started)


def scores_of(verdicts: Sequence[Verdict], rules: int) -> list[Score]:
    """The verdicts counted, by rule."""
    counts: list[dict[str, int]] = [defaultdict(int) for _ in range(rules)]
    for verdict in verdicts:
        counts[verdict.rule][verdict.outcome] += 1
    return [Score(**count) for count in counts]


def judge(
    objects: Path,
    rules: Sequence[Rule],
    commits: Sequence[MinedCommit],
    *,
    processes: int = PROCESSES,
    progress: Report | None = None,
) -> list[Judged]:
    """What each of the commits says of the rules."""
    judged: list[Judged] = []
    results = in_processes(
        judge_batch, (objects, list(rules)), small_commits.batches_of(commits), processes,
        lost=lambda task, code: Lost(result=[]), stall=STALL_SECONDS,
    )  # fmt: skip
    for batch in results:
        judged += batch
        if progress:
            progress("judging rules", len(judged), len(commits))
    return judged


def tip_at(objects: Path, tip: str, until: datetime | None) -> str:
    """The newest commit that leads to `tip` and was committed by `until`."""
    oid = git.resolve(objects, tip).oid
    if until is None:
        return oid
    limit = f"--until={until.timestamp():.0f}"
    return git.run(objects, "rev-list", "--max-count=1", limit, oid).decode().strip() or oid


def count_open(
    objects: Path, rules: Sequence[Rule], commit: str, *, processes: int = PROCESSES, progress: Report | None = None
) -> list[dict[str, int]]:
    """Of each rule, how often it matches in each file of a commit (vendored and generated ones left out)."""
    files: list[tuple[str, str, str]] = []
    chosen = {language for rule in rules for language in rule.language}
    for entry in git.list_tree(objects, commit) if rules else ():
        language = matchers.named(detection.detect(entry.path, b""))
        flags = classify(entry.path)
        fits = entry.size is not None and entry.size <= small_commits.LARGEST and entry.mode in ("100644", "100755")
        if language in chosen and fits and not flags.vendored and not flags.generated:
            files.append((entry.path, entry.oid, language))
    batches = [files[start : start + BATCH_FILES] for start in range(0, len(files), BATCH_FILES)]
    counts: list[dict[str, int]] = [{} for _ in rules]
    done = 0
    results = in_processes(
        count_batch, (objects, list(rules)), batches, processes, lost=lambda task, code: Lost(result=[]),
        stall=STALL_SECONDS,
    )  # fmt: skip
    for batch in results:
        for rule, path, count in batch:
            counts[rule][path] = count
        done += 1
        if progress:
            progress("counting what is left", done, len(batches))
    return counts


def count_batch(context: tuple[Path, list[Rule]], batch: list[tuple[str, str, str]]) -> list[tuple[int, str, int]]:
    """In a worker process: (rule, path, matches) in a batch of files (path, object id, language)."""
    objects, rules = context
    finder = _Finder(rules)
    found = []
    for (path, _, language), data in zip(
        batch, trees.read_blobs(objects, [(oid, path) for path, oid, _ in batch]), strict=True
    ):
        counts: dict[int, int] = defaultdict(int)
        for match in finder.find(matchers.decode(data) or "", path, language):
            counts[match.rule] += 1
        found += [(rule, path, count) for rule, count in counts.items()]
    return found


def judge_batch(context: tuple[Path, list[Rule]], batch: list[MinedCommit]) -> list[Judged]:
    """In a worker process: what a batch of commits says of the rules."""
    objects, rules = context
    finder = _Finder(rules)
    judged = []
    for commit, pairs in small_commits.read_texts(objects, batch):
        one = Judged(commit.oid, [], [])
        for pair in pairs:
            for rule, line, end_line, outcome in verdicts(finder.find, pair):
                where = (pair.file.path, line, end_line)
                one.verdicts.append(Verdict(rule, commit.oid, commit.at, *where, outcome))
            if commit.small:
                one.changes.extend(_changes(pair))
        judged.append(one)
    return judged


def _changes(pair: TextPair) -> list[tuple[str, int, int, int, frozenset[bytes]]]:
    by_change: dict[int, list[Concrete]] = defaultdict(list)
    try:
        edits = concrete_edits(pair.before, pair.after, pair.file.language)
    except RecursionError:
        return []
    for edit in edits:
        if concreteness(edit.edit.left) >= 2:
            for change in edit.changes:
                by_change[change].append(edit)
    return [
        (pair.file.path, change, max(e.line for e in found), min(e.end_line for e in found),
         frozenset(digest(e.edit) for e in found))
        for change, found in by_change.items()
    ]  # fmt: skip


Finder = Callable[[str, str, str], list[matchers.Match]]


class _Finder:
    """Finds, asking only the rules whose words a text has."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.words = [required_words(rule) for rule in rules]

    def find(self, text: str, path: str, language: str) -> list[matchers.Match]:
        """What the rules find in a text."""
        there = set(_WORD.findall(text))
        asked = [
            rule if language in rule.language and words <= there else None
            for rule, words in zip(self.rules, self.words, strict=True)
        ]
        return matchers.find(matchers.Source(text, path), language, asked) if any(asked) else []


def required_words(rule: Rule) -> set[str]:
    """Words that a text needs to have a match of a mined rule; none where that is not known."""
    if rule.pack != mined_rules.PACK or rule.matcher.ast_grep is None:
        return set()
    given = rule.matcher.ast_grep.rule
    pattern = given["pattern"] if "pattern" in given else given["all"][0]["pattern"]
    if isinstance(pattern, dict):
        # Of the words of the context, those of its wrapper need not be in a match.
        return mined_rules.words_of(pattern["context"]) - mined_rules.WRAPPING
    return mined_rules.words_of(pattern)


def verdicts(find: Finder, pair: TextPair) -> list[tuple[int, int, int, str]]:
    """(rule, first line, last line, outcome) of each suggestion a commit decided in one file."""
    path, language = pair.file.path, pair.file.language
    found = []
    for text, other, backwards in ((pair.before, pair.after, False), (pair.after, pair.before, True)):
        matches = find(text, path, language)
        if not matches:
            continue
        blocks = _blocks(text, other)
        for match in matches:
            outcome = _outcome(match, matches, text, other, blocks)
            if backwards:
                outcome = "undone" if outcome == "right" else ""
            if outcome:
                found.append((match.rule, match.line, match.end_line, outcome))
    return found


def _blocks(before: str, after: str) -> list[tuple[int, int, int, int]]:
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


def _outcome(
    match: matchers.Match,
    matches: Sequence[matchers.Match],
    text: str,
    other: str,
    blocks: Sequence[tuple[int, int, int, int]],
) -> str:
    """What became of one suggestion; '' where that says nothing."""
    first, last = match.line - 1, match.end_line - 1
    touching = [b for b in blocks if (b[0] <= last and b[1] > first) or (b[0] == b[1] and first < b[0] <= last)]
    if not touching or not match.edits:
        return ""
    start, end = min(first, touching[0][0]), max(last + 1, touching[-1][1])
    after_start = touching[0][2] - (touching[0][0] - start)
    after_end = touching[-1][3] + (end - touching[-1][1])
    if max(end - start, after_end - after_start) > LONGEST_WINDOW:
        return ""
    old, new = text.split("\n")[start:end], other.split("\n")[after_start:after_end]
    before, after = _tokens("\n".join(old)), _tokens("\n".join(new))
    offset = len("\n".join(text.split("\n")[:start])) + (start > 0)
    inside = [
        edit._replace(start=edit.start - offset, end=edit.end - offset)
        for one in matches
        if one.rule == match.rule and start <= one.line - 1 and one.end_line <= end
        for edit in one.edits or ()
    ]
    if _tokens(matchers.apply_edits("\n".join(old), inside)) == after:
        return "right" if before != after else ""
    edit = match.edits[0]
    was, made = _tokens(text[match.start : match.end]), _tokens(edit.text)
    own = edit._replace(start=edit.start - offset, end=edit.end - offset)
    expected = _tokens(matchers.apply_edits("\n".join(old), [own]))
    if (
        made.count(_END) > 1
        and after.count(made) >= expected.count(made) > before.count(made)
        and after.count(was) <= expected.count(was)
    ):
        return "right"
    if after.count(was) >= before.count(was):
        return ""
    if not after or all(block[2] == block[3] for block in touching):
        return "gone"
    return "wrong"


_BEGIN, _END = "\x1e", "\x1f"


def _tokens(text: str) -> str:
    """The tokens of a text, each between marks, so that counting one text in another counts whole tokens."""
    marked = "".join(f"{_BEGIN}{token}{_END}" for token in _TOKEN.findall(text))
    for bracket in ")]}":
        marked = marked.replace(f"{_BEGIN},{_END}{_BEGIN}{bracket}{_END}", f"{_BEGIN}{bracket}{_END}")
    return marked


def _recall(judged: Sequence[Judged]) -> tuple[int, int]:
    """(repeated changes, those that right suggestions cover)."""
    commits: dict[bytes, set[str]] = defaultdict(set)
    for one in judged:
        for change in one.changes:
            for key in change[4]:
                commits[key].add(one.commit)
    repeated = predicted = 0
    for one in judged:
        right = [(v.path, v.line, v.end_line) for v in one.verdicts if v.outcome == "right"]
        for path, _, line, end_line, keys in one.changes:
            if any(len(commits[key]) > 1 for key in keys):
                repeated += 1
                predicted += any(p == path and first <= end_line and last >= line for p, first, last in right)
    return repeated, predicted

