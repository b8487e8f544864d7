"""The commits edits are mined from, and the texts of their files before and after.

Belongs here: which commits of a history count (small ones, no merges, no reverts) and which of
their files, and reading those in worker processes. Does not belong here: reading a log
(`ingestion.history`), what changed in a file (`concrete_edits`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.concrete_edits import LARGEST
from qflow_dagster.ingestion import git, history, languages, trees
from qflow_dagster.ingestion.classify import classify

Report = Callable[[str, int, int], None]
# A commit of more files, or more changed lines, does several things at once.
MOST_FILES, MOST_LINES = 10, 50
# Commits that move whole trees about are not even looked at.
MOST_FILES_EVER = 100
BATCH_FILES = 60
# What one batch may hold in memory, in bytes.
BATCH_BYTES = 20_000_000
_REVERT = re.compile(r"revert|back out|backout|undo\b", re.IGNORECASE)


class FilePair(NamedTuple):
    """A file a commit changed: its path after and before, and the language as rules name it."""

    path: str
    previous: str
    language: str


class MinedCommit(NamedTuple):
    """A commit that changed files of the languages; `small` are those edits are taken from."""

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
    since: datetime | None = None,
    until: datetime | None = None,
    chosen: Sequence[str],
    most_commits: int,
    most_files: int = MOST_FILES,
    most_lines: int = MOST_LINES,
    processes: int = 2,
    progress: Report | None = None,
) -> tuple[int, list[MinedCommit]]:
    """(commits read, those that changed files of the languages `chosen`), the oldest first.

    Of the commits that lead to `tip`, merges excepted, those committed after `since` and not after
    `until`; the newest `most_commits` of them.

    Raises:
        GitError: the history cannot be read.
    """
    tip = git.resolve(objects, tip).oid
    limits = [f"--max-count={most_commits}"]
    limits += [f"--until={until.timestamp():.0f}"] if until else []
    limits += [f"--since={since.timestamp():.0f}"] if since else []
    oids = git.run(objects, "rev-list", "--no-merges", *limits, tip, timeout=600).decode().split()
    found: list[MinedCommit] = []
    done = 0
    for batch in history.read_commits(objects, oids, tip, processes):
        for commit in batch:
            at = datetime.fromisoformat(commit.committed_at)
            # Git stops looking at the first commit that is too old; clocks go wrong.
            if (since is None or at > since) and (until is None or at <= until):
                found += _mined(commit, at, chosen, most_files, most_lines)
        done += len(batch)
        if progress:
            progress("reading history", done, len(oids))
    return len(oids), sorted(found, key=lambda commit: (commit.at, commit.oid))


def _mined(
    commit: history.LoggedCommit, at: datetime, chosen: Sequence[str], most_files: int, most_lines: int
) -> Iterator[MinedCommit]:
    if not commit.parents or len(commit.changes) > MOST_FILES_EVER:
        return
    files = tuple(pair for change in commit.changes if (pair := _pair(change, chosen)))
    if not files:
        return
    lines = sum(max(change.added_lines or 0, change.deleted_lines or 0) for change in commit.changes)
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
    language = matchers.named(languages.detect(change.path, b""))
    return FilePair(change.path, previous, language) if language in chosen else None


def batches_of(commits: Sequence[MinedCommit]) -> list[list[MinedCommit]]:
    """Batches of about `BATCH_FILES` files."""
    batches: list[list[MinedCommit]] = []
    room = 0
    for commit in commits:
        if room < len(commit.files):
            batches.append([])
            room = BATCH_FILES
        batches[-1].append(commit)
        room -= len(commit.files)
    return batches


def read_texts(objects: Path, commits: Sequence[MinedCommit]) -> Iterator[tuple[MinedCommit, list[TextPair]]]:
    """The files of each commit before and after; those that are large, or no UTF-8, are left out.

    Raises:
        GitError: an object cannot be read.
    """
    names = [
        name
        for commit in commits
        for file in commit.files
        for name in (f"{commit.oid}^:{file.previous}", f"{commit.oid}:{file.path}")
    ]
    oids = iter(_blobs(objects, names))
    wanted = [(commit, [(file, next(oids), next(oids)) for file in commit.files]) for commit in commits]
    contents: dict[str, str | None] = {}
    distinct = sorted({oid for _, files in wanted for file in files for oid in file[1:] if oid})
    for oid, data in zip(distinct, trees.read_blobs(objects, [(oid, oid) for oid in distinct]), strict=True):
        contents[oid] = matchers.decode(data)
    for commit, files in wanted:
        pairs = []
        for file, old, new in files:
            before, after = contents.get(old), contents.get(new)
            if before and after and before != after:
                pairs.append(TextPair(file, before, after))
        yield commit, pairs


def _blobs(objects: Path, names: Sequence[str]) -> list[str]:
    """The object id of each blob named `commit:path`; '' where there is none, or it is too large."""
    stdin = "".join(f"{name}\n" for name in names).encode()
    found: list[str] = []
    room = BATCH_BYTES
    with git.stream(objects, "cat-file", "--batch-check", "--buffer", stdin=stdin) as output:
        for line in output:
            fields = line.decode(errors="replace").split(" ")
            readable = len(fields) == 3 and fields[1] == "blob" and git.OBJECT_ID.fullmatch(fields[0])
            if readable and int(fields[2]) <= min(LARGEST, room):
                room -= int(fields[2])
                found.append(fields[0])
            else:
                found.append("")
    return found
