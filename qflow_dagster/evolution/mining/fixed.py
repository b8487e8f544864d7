"""Places of a rule that people mended by themselves, anywhere in the history.

What a narrower version of a rule leaves out must not be what people mend unasked. Belongs here: finding
such places in before/after pairs of small commits, in worker processes. Does not belong here: which
commits (`commit_selection`), what a version makes of the places (`places`).
"""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from qflow_dagster.evolution import examples, matchers, ruff_matcher
from qflow_dagster.evolution.locations import Location
from qflow_dagster.evolution.matchers import Match, Source
from qflow_dagster.evolution.mining import commit_selection
from qflow_dagster.evolution.mining.small_commits import MinedCommit, TextPair, batches_of, read_texts
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.processes import Lost, in_processes

# Newest commits that are read, and places that are enough.
COMMITS, ENOUGH = 2_000, 100
# A line that became something less like it was replaced, not mended.
ALIKE = 0.5
STALL_SECONDS = 60.0


def find_fixed(
    objects: Path, rule: Rule, *, tip: str, commits: int = COMMITS, processes: int = 2
) -> list[Location]:
    """Matches of the rule that a small commit before `tip` did away with, changing their line; newest first.

    Raises:
        GitError: the history cannot be read.
    """
    languages = [language for language in rule.language if language in matchers.LANGUAGES]
    if not languages or rule.matcher.metric is not None:
        return []
    chosen = commit_selection.read_commits(
        objects, tip=tip, chosen=languages, most_commits=commits, processes=processes
    )
    small = sorted((one for one in chosen if one.small), key=lambda one: one.at, reverse=True)
    found: list[Location] = []
    results = in_processes(
        find_batch,
        (objects, rule),
        batches_of(small),
        processes,
        lost=lambda task, code: Lost(result=[]),
        stall=STALL_SECONDS,
    )
    for batch in results:
        found += batch
        if len(found) >= ENOUGH:
            results.close()
            break
    return found[:ENOUGH]


def find_batch(context: tuple[Path, Rule], batch: list[MinedCommit]) -> list[Location]:
    """In a worker process: the mended places of a batch of commits."""
    objects, rule = context
    pairs = [pair for _, pairs in read_texts(objects, batch) for pair in pairs]
    before = _matches(rule, pairs, after=False)
    # Only where there was something can it be gone.
    hit = [(pair, matches) for pair, matches in zip(pairs, before, strict=True) if matches]
    after = _matches(rule, [pair for pair, _ in hit], after=True)
    return [
        place
        for (pair, matches), left in zip(hit, after, strict=True)
        if len(left) < len(matches)
        for place in _gone(pair, matches, left)
    ]


def _gone(pair: TextPair, matches: Sequence[Match], left: Sequence[Match]) -> list[Location]:
    still = Counter(match.anchor for match in left)
    old, new = pair.before.splitlines(), pair.after.splitlines()
    replaced: dict[int, str] = {}
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "replace":
            replaced |= dict.fromkeys(range(i1 + 1, i2 + 1), "\n".join(new[j1:j2]))
    found = []
    for match in matches:
        still[match.anchor] -= 1
        became = replaced.get(match.line)
        if still[match.anchor] >= 0 or became is None:
            continue
        line = old[match.line - 1].strip()
        like = max((_ratio(line, other.strip()) for other in became.splitlines()), default=0.0)
        if like >= ALIKE:
            found.append(
                Location(pair.before, pair.file.path, pair.file.language, match.start, match.end, wanted=True)
            )
    return found


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _matches(rule: Rule, pairs: Sequence[TextPair], *, after: bool) -> list[list[Match]]:
    sources = [Source(pair.after if after else pair.before, pair.file.path) for pair in pairs]
    found: list[list[Match]] = [[] for _ in pairs]
    if rule.matcher.ruff is not None:
        for position, match in ruff_matcher.find_with_ruff(sources, [rule], examples.TARGET):
            found[position].append(match)
    else:
        for position, (source, pair) in enumerate(zip(sources, pairs, strict=True)):
            found[position] += matchers.find(source, pair.file.language, [rule])
    return found
