"""How often rules are right: their suggestions against what people did to that code later.

Belongs here: judging rules on a stretch of history, and adding up. Does not belong here: what is
right and wrong at one place (`verdicts`), mining the rules (`rule_miner`), doing it
again and again (`rolling`).

Precision = right / (right + wrong + undone). Suggestions that are gone or untouched are undecided,
and so are those that nobody came by: what is left in the end is counted (`open`), and no
estimate is made of it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining.concrete_edits import LARGEST
from qflow_dagster.evolution.mining.small_commits import BATCH_FILES, MinedCommit, batches_of
from qflow_dagster.evolution.mining.verdicts import Left, Verdict, count_batch, judge_batch
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import git, languages
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.processes import Lost, in_processes
from qflow_dagster.progress import ReportProgress

PROCESSES = 2
# A batch of large files and many rules takes its time on a machine that is busy.
STALL_SECONDS = 180.0


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


class Record(NamedTuple):
    """What a history says of one rule, the oldest first."""

    verdicts: list[Verdict]
    lefts: list[Left]

    def score(self, after: datetime, until: datetime | None = None) -> Score:
        """What became of its suggestions after `after`, and not after `until`."""
        return score_of(self.between(after, until))

    def decided(self, after: datetime, until: datetime | None = None) -> list[Verdict]:
        """The suggestions that were right, wrong or undone after `after`, and not after `until`."""
        return [one for one in self.between(after, until) if one.outcome != "gone"]

    def between(self, after: datetime, until: datetime | None = None) -> list[Verdict]:
        """What was said after `after`, and not after `until`."""
        return [one for one in self.verdicts if one.at > after and (until is None or one.at <= until)]

    def left(self, until: datetime | None = None) -> int:
        """How many matches those who did what the rule says left in the files they did it in, by `until`."""
        # The newest that is known of each file.
        newest = {one.path: one.matches for one in self.lefts if until is None or one.at <= until}
        return sum(newest.values())


def score_of(verdicts: Iterable[Verdict]) -> Score:
    """Verdicts counted."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return Score(counts["right"], counts["wrong"], counts["undone"], counts["gone"])


def judge(
    objects: Path,
    rules: Sequence[tuple[Rule, datetime]],
    commits: Sequence[MinedCommit],
    *,
    processes: int = PROCESSES,
    progress: ReportProgress | None = None,
) -> list[Record]:
    """What the commits say of each rule, from the day on that is given with it."""
    commits = [one for one in commits if one.at >= min((at for _, at in rules), default=one.at)]
    records = [Record([], []) for _ in rules]
    results = in_processes(
        judge_batch,
        (objects, list(rules)),
        batches_of(commits) if rules else [],
        processes,
        lost=lambda task, code: Lost(result=(1, [], [])),
        stall=STALL_SECONDS,
    )
    done = 0
    for count, verdicts, lefts in results:
        for verdict in verdicts:
            records[verdict.rule].verdicts.append(verdict)
        for left in lefts:
            records[left.rule].lefts.append(left)
        done += count
        if progress:
            progress("judging rules", done, len(commits))
    # Batches come as they are done.
    for record in records:
        record.verdicts.sort(key=lambda one: (one.at, *one))
        record.lefts.sort(key=lambda one: (one.at, *one))
    return records


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
    progress: ReportProgress | None = None,
) -> list[dict[str, int]]:
    """Of each rule, how often it matches in each file of a commit (vendored and generated ones left out)."""
    files: list[tuple[str, str, str]] = []
    chosen = {language for rule in rules for language in rule.language}
    for entry in git.list_tree(objects, commit) if rules else ():
        language = matchers.rule_language(languages.detect(entry.path, b""))
        flags = classify(entry.path)
        fits = entry.size is not None and entry.size <= LARGEST and entry.mode in ("100644", "100755")
        if language in chosen and fits and not flags.vendored and not flags.generated:
            files.append((entry.path, entry.oid, language))
    batches = [files[start : start + BATCH_FILES] for start in range(0, len(files), BATCH_FILES)]
    counts: list[dict[str, int]] = [{} for _ in rules]
    results = in_processes(
        count_batch,
        (objects, list(rules)),
        batches,
        processes,
        lost=lambda task, code: Lost(result=[]),
        stall=STALL_SECONDS,
    )
    for done, batch in enumerate(results, 1):
        for rule, path, count in batch:
            counts[rule][path] = count
        if progress:
            progress("counting what is left", done, len(batches))
    return counts
