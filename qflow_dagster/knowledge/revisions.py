"""The revisions that a question names: tags, branches and commits, and releases without the prefix of their tag.

Belongs here: which commits they are, the release before one, what changed between two. Does not belong here: the
history of lines (`git_facts`), answers as text (`revision_answers`).
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git, trees
from qflow_dagster.ingestion.commit_graphs import history_of
from qflow_dagster.ingestion.paths import quote_path
from qflow_dagster.knowledge import git_facts
from qflow_dagster.knowledge.git_facts import LineCommit

TIMEOUT = 5.0
# What may stand before the version in the name of a tag: "release-", "rel/name-", "package@", "py3/", not "1.".
_PREFIX = r"(?:.*[/@A-Za-z]|.*(?<!\d)[._-])?"
# The name of a tag, and the version that it ends with.
_TAG = re.compile(
    r"(?P<prefix>\D{0,100}(?:\d{1,9}\D{1,100}){0,2}?)\d{1,9}(?:[._]\d{1,9}){0,5}(?:[-._+]?[A-Za-z][\w.+-]{0,60})?$"
)

# A release is written with numbers alone; what previews of one have behind these, in the syntax of git's patterns.
_FINAL = re.compile(r"(?:\D{0,100}(?:\d{1,9}\D{1,100}){0,2}?)?\d{1,9}(?:[._]\d{1,9}){0,5}")
_PREVIEWS = tuple(
    f"*[0-9]{words}"
    for words in (
        *(
            "*[Rr][Cc]*",
            "*[Aa]lpha*",
            "*[Bb]eta*",
            "*[Pp]re*",
            "*[Dd]ev*",
            "*SNAPSHOT*",
            "*nightly*",
            "*canary*",
        ),
        *("a[0-9]*", "b[0-9]*", "[-.]M[0-9]*", ".x"),
    )
)


def named(objects: Path, name: str) -> list[str]:
    """Return the revisions that a name may mean: the one that git knows by it, else the tags that end with it.

    "1.14.1" and "v1.14.1" mean the tags rel/shop-1.14.1 and REL_1_14_1, "1.14" means 1.14.0 if there is no 1.14.
    """
    if git_facts.resolve(objects, name):
        return [name]
    version = re.sub(r"^[vV](?=\d)", "", name)
    tags = _tags(objects)
    for ending in (version, f"{version}.0") if version[:1].isdigit() else (version,):
        parts = r"[._-]".join(map(re.escape, ending.split(".")))
        found = [tag for tag in tags if re.fullmatch(rf"{_PREFIX}{parts}", tag, re.IGNORECASE)]
        if found:
            commits = {git_facts.resolve(objects, tag) for tag in found}
            return found if len(commits) > 1 else found[:1]
    return []


def like(objects: Path, name: str) -> list[str]:
    """Return tags that are spelt like a name."""
    return difflib.get_close_matches(name, _tags(objects), n=3)


def _tags(objects: Path) -> list[str]:
    printed = git.run(objects, "for-each-ref", "--format=%(refname:short)", "refs/tags", timeout=TIMEOUT)
    return printed.decode(errors="replace").split()


def tag_before(objects: Path, revision: str) -> str | None:
    """Return the newest tag among the ancestors of a revision, of the same package; None if there is none.

    Before a release there may be previews of it, which are left out; a tag that moves ("3.0.x") is none of a release.
    """
    oid = git_facts.resolve(objects, f"{revision}^")
    if oid is None:
        return None
    tag = _TAG.fullmatch(revision)
    prefix = re.sub(r"([*?\[\\])", r"\\\1", tag["prefix"]) if tag else ""
    same = f"--match={prefix}[0-9]*" if tag else "--match=*"
    # A repository of several packages has tags of each; one of a single package may have changed how it writes them.
    for pattern in (same,) if re.search(r"[/@]", prefix) else (same, "--match=*"):
        try:
            left_out = [
                f"--exclude={each}" for each in (_PREVIEWS if tag and _FINAL.fullmatch(revision) else ())
            ]
            printed = git.run(
                objects, "describe", "--tags", "--abbrev=0", pattern, *left_out, oid, timeout=TIMEOUT
            )
        except git.GitError:
            continue
        return printed.decode().strip()
    return None


class FileLines(NamedTuple):
    """Lines added to and deleted from a file, 0 for binary files; its status as git has it: A for a new one, D, M."""

    path: str
    added: int
    deleted: int
    status: str = ""


class RevisionChanges(NamedTuple):
    """The commits of a revision that another one lacks, newest first, and the files that differ."""

    commits: list[LineCommit]
    files: list[FileLines]


def changes_between(objects: Path, first: str, last: str, paths: Sequence[str] = ()) -> RevisionChanges:
    """Return what changed from a commit to another one, optionally in some files or folders only.

    Raises:
        GitError: An object is missing, or it takes longer than `git_facts.TIMEOUT`.
    """
    with history_of(objects) as history:
        arguments = (
            f"--format={git_facts.COMMIT}",
            "--date=format:%Y-%m-%d",
            f"{first}..{last}",
            "--",
            *paths,
        )
        configuration = git_facts.mailmap(last)
        printed = history.run("log", *arguments, timeout=git_facts.TIMEOUT, configuration=configuration)
        arguments = ("--raw", "--numstat", "-z", "--no-renames", first, last, "--", *paths)
        records = iter(history.run("diff", *arguments, timeout=git_facts.TIMEOUT).split(b"\0"))
    statuses: dict[bytes, bytes] = {}
    files = []
    for record in records:
        if record.startswith(b":"):
            # The path follows.
            statuses[next(records)] = record[-1:]
        elif record.count(b"\t") >= 2:
            added, deleted, name = record.split(b"\t", 2)
            new, old = (int(number) if number.isdigit() else 0 for number in (added, deleted))
            files.append(FileLines(quote_path(name), new, old, statuses.get(name, b"").decode()))
    return RevisionChanges(git_facts.commits_in(printed), files)


def commits_of_files(objects: Path, first: str, last: str, paths: Sequence[str]) -> dict[str, LineCommit]:
    """Return the newest commit between two that added or deleted each of some files.

    Raises:
        GitError: An object is missing, or it takes longer than `git_facts.TIMEOUT`.
    """
    if not paths:
        return {}
    arguments = (f"--format={git_facts.COMMIT}", "--date=format:%Y-%m-%d", "--name-only", "--diff-filter=AD")
    with history_of(objects) as history:
        printed = history.run(
            *("log", *arguments, "--no-renames", f"{first}..{last}", "--", *paths),
            timeout=git_facts.TIMEOUT,
            configuration=(*git_facts.mailmap(last), "core.quotePath=false"),
        )
    found: dict[str, LineCommit] = {}
    for record in printed.split(b"\x01")[1:]:
        head, _, names = record.partition(b"\n")
        for row in git_facts.commits_in(b"\x01" + head):
            for name in names.split(b"\n"):
                found.setdefault(quote_path(name), row)
    return found


def is_before(objects: Path, first: str, last: str) -> bool:
    """Return whether a commit is another one's ancestor.

    Raises:
        GitError: An object is missing.
    """
    with history_of(objects) as history:
        return not history.run(
            "rev-list", "--max-count=1", first, f"^{last}", timeout=git_facts.TIMEOUT
        ).strip()


def has_path(objects: Path, oid: str, path: str) -> bool:
    """Return whether a commit has a file or folder.

    Raises:
        GitError: An object is missing.
    """
    return bool(git.run(objects, "ls-tree", "--name-only", oid, "--", path, timeout=TIMEOUT).strip())


def texts(objects: Path, oid: str, paths: Sequence[str]) -> dict[str, str]:
    """Return the content of those files that a commit has.

    Raises:
        GitError: An object is missing.
    """
    printed = git.run(objects, "ls-tree", "-z", oid, "--", *paths, timeout=TIMEOUT) if paths else b""
    files = []
    for row in printed.split(b"\0"):
        head, _, name = row.partition(b"\t")
        if b" blob " in head:
            files.append((quote_path(name), head.split()[2].decode()))
    contents = trees.read_texts(objects, files)
    return {path: contents[path].decode("utf-8", "replace") for path, _ in files if path in contents}


def commits_changing(objects: Path, first: str, last: str, path: str, name: str) -> list[LineCommit]:
    """Return the newest commit between two that changed how often a file has a name; none if none did.

    Raises:
        GitError: An object is missing, or it takes longer than `git_facts.TIMEOUT`.
    """
    arguments = (f"--format={git_facts.COMMIT}", "--date=format:%Y-%m-%d", "-1", f"-S{name}")
    with history_of(objects) as history:
        printed = history.run(
            *("log", *arguments, f"{first}..{last}", "--", path),
            timeout=git_facts.TIMEOUT,
            configuration=git_facts.mailmap(last),
        )
    return git_facts.commits_in(printed)
