"""Which commits of a history are mined, and which of their files.

Belongs here: small commits, no merges, no reverts; files of languages that have rules, neither
vendored nor generated. Does not belong here: reading a log (`ingestion.history`), the texts of
files (`small_commits`, which worker processes import without a database).
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining.small_commits import FilePair, MinedCommit
from qflow_dagster.ingestion import git, history, languages
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.progress import ReportProgress

# A commit of more files, or more changed lines, is a rewrite. Below, migrations begin: in many files at once.
MAX_FILES, MAX_DIFF_LINES = 60, 1000
# Commits that move whole trees about are not even looked at.
MAX_HISTORY_FILES = 100
_REVERT = re.compile(r"revert|back out|backout|undo\b", re.IGNORECASE)


def read_commits(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    chosen: Sequence[str],
    most_commits: int,
    most_files: int = MAX_FILES,
    most_lines: int = MAX_DIFF_LINES,
    processes: int = 2,
    progress: ReportProgress | None = None,
) -> list[MinedCommit]:
    """The commits that changed files of the languages `chosen`, the oldest first.

    Of the commits that lead to `tip`, merges excepted, those committed by `until`; the newest
    `most_commits` of them.

    Raises:
        GitError: the history cannot be read.
    """
    tip = git.resolve(objects, tip).oid
    limits = [f"--max-count={most_commits}"]
    limits += [f"--until={until.timestamp():.0f}"] if until else []
    oids = git.run(objects, "rev-list", "--no-merges", *limits, tip, timeout=600).decode().split()
    found: list[MinedCommit] = []
    done = 0
    for batch in history.read_commits(objects, oids, tip, processes):
        for commit in batch:
            at = datetime.fromisoformat(commit.committed_at)
            # Git stops looking at the first commit that is too old; clocks go wrong.
            if until is None or at <= until:
                found += _mined(commit, at, chosen, most_files, most_lines)
        done += len(batch)
        if progress:
            progress("reading history", done, len(oids))
    return sorted(found, key=lambda commit: (commit.at, commit.oid))


def _mined(
    commit: history.LoggedCommit, at: datetime, chosen: Sequence[str], most_files: int, most_lines: int
) -> Iterator[MinedCommit]:
    if not commit.parents or len(commit.changes) > MAX_HISTORY_FILES:
        return
    files = tuple(pair for change in commit.changes if (pair := _pair(change, chosen)))
    if not files:
        return
    # What is written about a change, and data, does not make it larger.
    lines = sum(
        max(change.added_lines or 0, change.deleted_lines or 0)
        for change in commit.changes
        if matchers.rule_language(languages.detect(change.path, b"")) in chosen
    )
    small = len(commit.changes) <= most_files and lines <= most_lines and not is_revert(commit)
    author = commit.author_email.strip().lower() or commit.author_name
    yield MinedCommit(commit.oid, at, author, small, files)


def is_revert(commit: history.LoggedCommit) -> bool:
    """Whether a commit says that it takes another back."""
    return _REVERT.match(commit.subject) is not None or "This reverts commit" in commit.body


def _pair(change: history.Change, chosen: Sequence[str]) -> FilePair | None:
    if change.kind not in ("modified", "renamed") or not change.added_lines or not change.deleted_lines:
        return None
    previous = change.previous_path or change.path
    flags = classify(change.path)
    # A quoted path holds what no line of a request to git can.
    if flags.vendored or flags.generated or '"' in change.path or '"' in previous:
        return None
    language = matchers.rule_language(languages.detect(change.path, b""))
    return FilePair(change.path, previous, language) if language in chosen else None
