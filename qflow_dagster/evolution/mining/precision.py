"""How often rules are right: their suggestions against what people did to that code later.

Belongs here: judging rules on a stretch of history, and adding up. Does not belong here: what is
right and wrong at one place (`verdicts`), mining the rules (`rule_miner`).

Precision = right / (right + wrong + undone). Suggestions that are gone or untouched are undecided,
and so are those that nobody came by: what is left in the end is counted (`open`), and no
estimate is made of it.

Recall is measured on the edits of small later commits that occur in at least two of them, token
for token: the share of changes that one of the rules' right suggestions covers.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining import commit_selection
from qflow_dagster.evolution.mining.concrete_edits import LARGEST
from qflow_dagster.evolution.mining.small_commits import BATCH_FILES, MinedCommit, Report, batches_of
from qflow_dagster.evolution.mining.verdicts import Judged, Verdict, count_batch, judge_batch
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import git, languages
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.processes import Lost, in_processes

PROCESSES = 2
STALL_SECONDS = 60.0


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
    read, commits = commit_selection.read_commits(
        objects, tip=tip, since=after, until=until, chosen=chosen, most_commits=most_commits,
        processes=processes, progress=progress,
    )  # fmt: skip
    judged = judge(objects, rules, commits, changes=True, processes=processes, progress=progress)
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
    changes: bool = False,
    processes: int = PROCESSES,
    progress: Report | None = None,
) -> list[Judged]:
    """What each of the commits says of the rules; with `changes`, what it changed as well."""
    judged: list[Judged] = []
    results = in_processes(
        judge_batch, (objects, list(rules), changes), batches_of(commits), processes,
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
    objects: Path,
    rules: Sequence[Rule],
    commit: str,
    *,
    processes: int = PROCESSES,
    progress: Report | None = None,
) -> list[dict[str, int]]:
    """Of each rule, how often it matches in each file of a commit (vendored and generated ones left out)."""
    files: list[tuple[str, str, str]] = []
    chosen = {language for rule in rules for language in rule.language}
    for entry in git.list_tree(objects, commit) if rules else ():
        language = matchers.named(languages.detect(entry.path, b""))
        flags = classify(entry.path)
        fits = entry.size is not None and entry.size <= LARGEST and entry.mode in ("100644", "100755")
        if language in chosen and fits and not flags.vendored and not flags.generated:
            files.append((entry.path, entry.oid, language))
    batches = [files[start : start + BATCH_FILES] for start in range(0, len(files), BATCH_FILES)]
    counts: list[dict[str, int]] = [{} for _ in rules]
    results = in_processes(
        count_batch, (objects, list(rules)), batches, processes, lost=lambda task, code: Lost(result=[]),
        stall=STALL_SECONDS,
    )  # fmt: skip
    for done, batch in enumerate(results, 1):
        for rule, path, count in batch:
            counts[rule][path] = count
        if progress:
            progress("counting what is left", done, len(batches))
    return counts


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
