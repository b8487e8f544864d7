"""Locations of a rule's matches that people fixed by themselves, anywhere in the history.

A narrower version of a rule should still match them. They are found in the files of small commits, before and
after, in worker processes.
"""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from qflow_dagster.evolution import examples, matchers, ruff_matcher
from qflow_dagster.evolution.locations import Location
from qflow_dagster.evolution.matchers import Match, Source
from qflow_dagster.evolution.mining import mined_commits
from qflow_dagster.evolution.mining.mined_commits import MinedCommit, TextPair, batches_of, read_texts
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.processes import LostResult, in_processes

# The number of newest commits read, and of locations after which the search ends.
MAX_COMMITS, MAX_LOCATIONS = 2_000, 100
# A line whose replacement is less similar (difflib ratio) was replaced, not fixed.
MIN_SIMILARITY = 0.5
STALL_SECONDS = 60.0


def find_fixed(
    objects: Path, rule: Rule, *, tip: str, commits: int = MAX_COMMITS, processes: int = 2
) -> list[Location]:
    """Return matches of the rule that small commits before `tip` fixed by changing their line; newest first.

    Raises:
        GitError: The history cannot be read.
    """
    languages = [language for language in rule.language if language in matchers.LANGUAGES]
    if not languages or rule.matcher.metric is not None:
        return []
    selected = mined_commits.read_commits(
        objects, tip=tip, rule_languages=languages, max_commits=commits, processes=processes
    )
    small = sorted(
        (commit for commit in selected if commit.small), key=lambda commit: commit.at, reverse=True
    )
    locations: list[Location] = []
    results = in_processes(
        find_batch,
        (objects, rule),
        batches_of(small),
        processes,
        lost=lambda task, code: LostResult(result=[]),
        stall=STALL_SECONDS,
    )
    for batch in results:
        locations += batch
        if len(locations) >= MAX_LOCATIONS:
            results.close()
            break
    return locations[:MAX_LOCATIONS]


def find_batch(context: tuple[Path, Rule], batch: list[MinedCommit]) -> list[Location]:
    """Return the fixed locations of a batch of commits; runs in a worker process."""
    objects, rule = context
    pairs = [pair for _, pairs in read_texts(objects, batch) for pair in pairs]
    before = _matches(rule, pairs, after=False)
    # Only files with matches before the commit can have fixed ones.
    matched = [(pair, matches) for pair, matches in zip(pairs, before, strict=True) if matches]
    after = _matches(rule, [pair for pair, _ in matched], after=True)
    return [
        location
        for (pair, matches), remaining in zip(matched, after, strict=True)
        if len(remaining) < len(matches)
        for location in _fixed_locations(pair, matches, remaining)
    ]


def _fixed_locations(pair: TextPair, matches: Sequence[Match], remaining: Sequence[Match]) -> list[Location]:
    counts = Counter(match.anchor for match in remaining)
    old, new = pair.before.splitlines(), pair.after.splitlines()
    replaced: dict[int, str] = {}
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "replace":
            replaced |= dict.fromkeys(range(i1 + 1, i2 + 1), "\n".join(new[j1:j2]))
    locations = []
    for match in matches:
        counts[match.anchor] -= 1
        replacement = replaced.get(match.line)
        if counts[match.anchor] >= 0 or replacement is None:
            continue
        line = old[match.line - 1].strip()
        similarity = max((_ratio(line, other.strip()) for other in replacement.splitlines()), default=0.0)
        if similarity >= MIN_SIMILARITY:
            locations.append(
                Location(pair.before, pair.file.path, pair.file.language, match.start, match.end, wanted=True)
            )
    return locations


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _matches(rule: Rule, pairs: Sequence[TextPair], *, after: bool) -> list[list[Match]]:
    sources = [Source(pair.after if after else pair.before, pair.file.path) for pair in pairs]
    by_pair: list[list[Match]] = [[] for _ in pairs]
    if rule.matcher.ruff is not None:
        for position, match in ruff_matcher.find_with_ruff(sources, [rule], examples.TARGET):
            by_pair[position].append(match)
    else:
        for position, (source, pair) in enumerate(zip(sources, pairs, strict=True)):
            by_pair[position] += matchers.find(source, pair.file.language, [rule])
    return by_pair
