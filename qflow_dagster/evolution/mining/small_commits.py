"""A commit that is mined, and the texts of its files before and after.

Belongs here: reading those texts, in worker processes. Does not belong here: which commits are mined
(`commit_selection`), what changed in a file (`concrete_edits`).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining.concrete_edits import LARGEST
from qflow_dagster.ingestion import git, trees

BATCH_FILES = 20


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
    with git.stream(objects, "cat-file", "--batch-check", "--buffer", stdin=stdin) as output:
        for line in output:
            fields = line.decode(errors="replace").split(" ")
            readable = len(fields) == 3 and fields[1] == "blob" and git.OBJECT_ID.fullmatch(fields[0])
            if readable and int(fields[2]) <= LARGEST:
                found.append(fields[0])
            else:
                found.append("")
    return found
