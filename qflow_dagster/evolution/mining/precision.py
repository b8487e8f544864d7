"""The precision of rules: their suggestions compared with what people did to that code later.

`verdicts` classifies single suggestions; this module runs it on a period of history and aggregates.

Precision = right / (right + wrong + undone). Suggestions that are gone or untouched are undecided; matches
that remain at the end are counted (`open`), but not estimated.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining.concrete_edits import MAX_FILE_CHARACTERS
from qflow_dagster.evolution.mining.mined_commits import BATCH_FILES, MinedCommit, batches_of
from qflow_dagster.evolution.mining.verdicts import Remainder, Verdict, count_batch, judge_batch
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import git, languages
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.progress import ReportProgress

PROCESSES = 2
# A batch of large files and many rules takes its time on a machine that is busy.
STALL_SECONDS = 180.0


class Score(NamedTuple):
    """The number of a rule's suggestions by verdict; `open` are its matches in the code at the end."""

    right: int = 0
    wrong: int = 0
    undone: int = 0
    gone: int = 0
    open: int = 0

    @property
    def decided(self) -> int:
        """The number of suggestions that were decided."""
        return self.right + self.wrong + self.undone

    @property
    def precision(self) -> float | None:
        """The share of decided suggestions that were right; None if none was decided."""
        return self.right / self.decided if self.decided else None


class Record(NamedTuple):
    """The verdicts and remainders of one rule in a history, oldest first."""

    verdicts: list[Verdict]
    remainders: list[Remainder]

    def score(self, after: datetime, until: datetime | None = None) -> Score:
        """Count its verdicts after `after`, and not after `until`."""
        return score_of(self.between(after, until))

    def decided(self, after: datetime, until: datetime | None = None) -> list[Verdict]:
        """Return the verdicts right, wrong or undone after `after`, and not after `until`."""
        return [verdict for verdict in self.between(after, until) if verdict.outcome != "gone"]

    def between(self, after: datetime, until: datetime | None = None) -> list[Verdict]:
        """Return the verdicts after `after`, and not after `until`."""
        return [
            verdict
            for verdict in self.verdicts
            if verdict.at > after and (until is None or verdict.at <= until)
        ]

    def remaining(self, until: datetime | None = None) -> int:
        """Return the number of matches that remained in files where the change was made, by `until`."""
        # The newest count of each file.
        newest = {
            remainder.path: remainder.matches
            for remainder in self.remainders
            if until is None or remainder.at <= until
        }
        return sum(newest.values())


def score_of(verdicts: Iterable[Verdict]) -> Score:
    """Count verdicts by outcome."""
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
    """Return the record of each rule in the commits since the time given with it."""
    start = min((at for _, at in rules), default=None)
    commits = [commit for commit in commits if start is None or commit.at >= start]
    records = [Record([], []) for _ in rules]
    results = in_processes(
        judge_batch,
        (objects, list(rules)),
        batches_of(commits) if rules else [],
        processes,
        lost=lambda task, code: LostResult(result=(1, [], [])),
        stall=STALL_SECONDS,
    )
    processed = 0
    for count, verdicts, remainders in results:
        for verdict in verdicts:
            records[verdict.rule].verdicts.append(verdict)
        for remainder in remainders:
            records[remainder.rule].remainders.append(remainder)
        processed += count
        if progress:
            progress("judging rules", processed, len(commits))
    # Batches arrive in any order.
    for record in records:
        record.verdicts.sort(key=lambda event: (event.at, *event))
        record.remainders.sort(key=lambda event: (event.at, *event))
    return records


def tip_at(objects: Path, tip: str, until: datetime | None) -> str:
    """Return the newest ancestor of `tip` that was committed by `until`."""
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
    """Count the matches of each rule in each file of a commit, except vendored and generated files."""
    files: list[tuple[str, str, str]] = []
    rule_languages = {language for rule in rules for language in rule.language}
    for entry in git.list_tree(objects, commit) if rules else ():
        language = matchers.rule_language(languages.detect(entry.path, b""))
        flags = classify(entry.path)
        fits = (
            entry.size is not None
            and entry.size <= MAX_FILE_CHARACTERS
            and entry.mode in ("100644", "100755")
        )
        if language in rule_languages and fits and not flags.vendored and not flags.generated:
            files.append((entry.path, entry.oid, language))
    batches = [files[start : start + BATCH_FILES] for start in range(0, len(files), BATCH_FILES)]
    counts: list[dict[str, int]] = [{} for _ in rules]
    results = in_processes(
        count_batch,
        (objects, list(rules)),
        batches,
        processes,
        lost=lambda task, code: LostResult(result=[]),
        stall=STALL_SECONDS,
    )
    for processed, batch in enumerate(results, 1):
        for rule, path, count in batch:
            counts[rule][path] = count
        if progress:
            progress("counting what is left", processed, len(batches))
    return counts
