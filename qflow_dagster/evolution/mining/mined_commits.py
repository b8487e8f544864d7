"""The commits that are mined, and the texts of their files before and after.

Selected are small commits, without merges and reverts, and their files in languages that have rules, neither
vendored nor generated. What changed in a file is computed in `concrete_edits`.

Texts are read in worker processes.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining.concrete_edits import MAX_FILE_CHARACTERS
from qflow_dagster.ingestion import commit_log, git, languages, trees
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.progress import ReportProgress

BATCH_FILES = 20
# Larger commits are not mined: they are rewrites, or migrations across many files.
MAX_FILES, MAX_DIFF_LINES = 60, 1000
# Commits with more files are skipped before anything else is read of them.
MAX_HISTORY_FILES = 100
_REVERT = re.compile(r"revert|back out|backout|undo\b", re.IGNORECASE)


class FilePair(NamedTuple):
    """A file a commit changed: its path after and before, and the language as rules name it."""

    path: str
    previous: str
    language: str


class MinedCommit(NamedTuple):
    """A commit that changed files of the selected languages; edits are taken from `small` ones."""

    oid: str
    at: datetime
    author: str
    small: bool
    files: tuple[FilePair, ...]


class TextPair(NamedTuple):
    """A file before and after a commit, decoded."""

    file: FilePair
    before: str
    after: str


def read_commits(
    objects: Path,
    *,
    tip: str,
    until: datetime | None = None,
    rule_languages: Sequence[str],
    max_commits: int,
    max_files: int = MAX_FILES,
    max_lines: int = MAX_DIFF_LINES,
    processes: int = 2,
    progress: ReportProgress | None = None,
) -> list[MinedCommit]:
    """Return the commits that changed files of the languages, oldest first.

    These are ancestors of `tip` without merges, committed by `until`; only the newest `max_commits` of them.

    Raises:
        GitError: The history cannot be read.
    """
    tip = git.resolve(objects, tip).oid
    limits = [f"--max-count={max_commits}"]
    limits += [f"--until={until.timestamp():.0f}"] if until else []
    oids = git.run(objects, "rev-list", "--no-merges", *limits, tip, timeout=600).decode().split()
    commits: list[MinedCommit] = []
    processed = 0
    for batch in commit_log.read_commits(objects, oids, tip, processes):
        for commit in batch:
            at = datetime.fromisoformat(commit.committed_at)
            # Git stops at the first commit that is too old, but commit times need not be in order.
            if until is None or at <= until:
                commits += _mined(commit, at, rule_languages, max_files, max_lines)
        processed += len(batch)
        if progress:
            progress("reading history", processed, len(oids))
    return sorted(commits, key=lambda commit: (commit.at, commit.oid))


def _mined(
    commit: commit_log.LoggedCommit,
    at: datetime,
    rule_languages: Sequence[str],
    max_files: int,
    max_lines: int,
) -> Iterator[MinedCommit]:
    if not commit.parents or len(commit.changes) > MAX_HISTORY_FILES:
        return
    files = tuple(pair for change in commit.changes if (pair := _pair(change, rule_languages)))
    if not files:
        return
    # Documentation and data do not count.
    lines = sum(
        max(change.added_lines or 0, change.deleted_lines or 0)
        for change in commit.changes
        if matchers.rule_language(languages.detect(change.path, b"")) in rule_languages
    )
    small = len(commit.changes) <= max_files and lines <= max_lines and not is_revert(commit)
    author = commit.author_email.strip().lower() or commit.author_name
    yield MinedCommit(commit.oid, at, author, small, files)


def is_revert(commit: commit_log.LoggedCommit) -> bool:
    """Return whether a commit's message says that it reverts another."""
    return _REVERT.match(commit.subject) is not None or "This reverts commit" in commit.body


def _pair(change: commit_log.Change, rule_languages: Sequence[str]) -> FilePair | None:
    if change.kind not in ("modified", "renamed") or not change.added_lines or not change.deleted_lines:
        return None
    previous = change.previous_path or change.path
    flags = classify(change.path)
    # A quoted path contains characters that cannot be passed to git in a line.
    if flags.vendored or flags.generated or '"' in change.path or '"' in previous:
        return None
    language = matchers.rule_language(languages.detect(change.path, b""))
    return FilePair(change.path, previous, language) if language in rule_languages else None


def batches_of(commits: Sequence[MinedCommit]) -> list[list[MinedCommit]]:
    """Group commits into batches of about `BATCH_FILES` files."""
    batches: list[list[MinedCommit]] = []
    remaining = 0
    for commit in commits:
        if remaining < len(commit.files):
            batches.append([])
            remaining = BATCH_FILES
        batches[-1].append(commit)
        remaining -= len(commit.files)
    return batches


def read_texts(objects: Path, commits: Sequence[MinedCommit]) -> Iterator[tuple[MinedCommit, list[TextPair]]]:
    """Yield each commit with its files before and after; files that are large or not UTF-8 are skipped.

    Raises:
        GitError: An object cannot be read.
    """
    names = [
        name
        for commit in commits
        for file in commit.files
        for name in (f"{commit.oid}^:{file.previous}", f"{commit.oid}:{file.path}")
    ]
    oids = iter(_blobs(objects, names))
    files_by_commit = [
        (commit, [(file, next(oids), next(oids)) for file in commit.files]) for commit in commits
    ]
    contents: dict[str, str | None] = {}
    distinct = sorted({oid for _, files in files_by_commit for file in files for oid in file[1:] if oid})
    for oid, data in zip(distinct, trees.read_blobs(objects, [(oid, oid) for oid in distinct]), strict=True):
        contents[oid] = matchers.decode(data)
    for commit, files in files_by_commit:
        pairs = []
        for file, old, new in files:
            before, after = contents.get(old), contents.get(new)
            if before and after and before != after:
                pairs.append(TextPair(file, before, after))
        yield commit, pairs


def _blobs(objects: Path, names: Sequence[str]) -> list[str]:
    """Return the object id of each blob named `commit:path`; '' if it does not exist or is too large."""
    stdin = "".join(f"{name}\n" for name in names).encode()
    oids: list[str] = []
    with git.stream(objects, "cat-file", "--batch-check", "--buffer", stdin=stdin) as output:
        for line in output:
            fields = line.decode(errors="replace").split(" ")
            readable = len(fields) == 3 and fields[1] == "blob" and git.OBJECT_ID.fullmatch(fields[0])
            if readable and int(fields[2]) <= MAX_FILE_CHARACTERS:
                oids.append(fields[0])
            else:
                oids.append("")
    return oids
