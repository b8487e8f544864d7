"""Edits as git has them: a commit on a branch of its own, and the commit that reverts it.

Belongs here: making those commits without a work tree, an index or a checked-out branch of the
user being touched. Does not belong here: whether an edit may be made (`self_improvement`).

A commit is a function of its suggestion: made again after a crash it is the same commit.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.generation import patches
from qflow_dagster.generation.patches import Patch
from qflow_dagster.ingestion import checkouts, git
from qflow_dagster.ingestion.stand_ins import keep, stand_in

IDENTITY = {
    "GIT_AUTHOR_NAME": "qflow",
    "GIT_AUTHOR_EMAIL": "qflow@localhost",
    "GIT_COMMITTER_NAME": "qflow",
    "GIT_COMMITTER_EMAIL": "qflow@localhost",
}
NO_COMMIT = "0" * 40
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,180}")


class BranchMovedError(QflowError):
    """The branch is not where it was left; somebody else works on it."""


def branch_name(prefix: str, title: str, id_: str) -> str:
    """The branch of an edit: prefix, words of its title, the end of its id."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:50].strip("-")
    return f"{prefix}{words or 'edit'}-{id_.replace('-', '')[-8:]}"


def make_commit(
    objects: Path, base: str, patch: Patch, subject: str, body: str, trailers: Mapping[str, str], at: datetime
) -> str:
    """Make (not yet on any branch) the commit of `patch` on `base`; returns its id.

    Raises:
        PatchRefusedError: the patch does not apply.
    """
    with checkouts.scratch(objects) as store:
        tree = patches.apply(store, base, patch)
        commit = _commit(store.stand_in, tree, base, message(subject, body, trailers), at)
        keep(store.stand_in, commit, objects)
    return commit


def make_revert(
    objects: Path, commit: str, base: str, reason: str, trailers: Mapping[str, str], at: datetime
) -> str:
    """Make the commit that takes `commit` (whose parent is `base`) back; returns its id."""
    with stand_in(objects) as ours:
        tree = git.resolve(ours, base).tree
        subject = _show(ours, "%s", commit).strip()
        body = f"This reverts commit {commit}.\n\n{reason}"
        revert = _commit(ours, tree, commit, message(f'Revert "{subject}"', body, trailers), at)
        keep(ours, revert, objects)
    return revert


def set_branch(objects: Path, branch: str, commit: str, expected: str | None) -> None:
    """Move a branch from `expected` (None: it does not exist) to `commit`; nothing where it is there already.

    Raises:
        UsageError: the name is none for a branch, or the branch is checked out.
        BranchMovedError: it is elsewhere.
    """
    if not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith((".lock", "/", ".")):
        raise UsageError(f"{branch!r} cannot be a branch")
    ref = f"refs/heads/{branch}"
    now = read_branch(objects, branch)
    if now == commit:
        return
    if ref in _checked_out(objects):
        raise BranchMovedError(
            f"{branch} is checked out; its work tree would no longer fit: check out another first"
        )
    size = len(commit)
    old = expected or NO_COMMIT[:40].ljust(size, "0")
    try:
        git.run(objects, "update-ref", "--no-deref", "-m", "qflow", ref, commit, old)
    except git.GitError as error:
        raise BranchMovedError(f"{branch} could not be moved: {str(error).splitlines()[0]}") from None


def remove_branch(objects: Path, branch: str, suggestion: str) -> bool:
    """Remove the branch of a suggestion that was never recorded as applied; whether it was there.

    Only where its newest commit is that suggestion's: what somebody built on it stays.
    """
    commit = read_branch(objects, branch)
    if commit is None:
        return False
    with stand_in(objects) as ours:
        words = _show(ours, "%B", commit)
    if f"Qflow-Suggestion: {suggestion}" not in words or f"refs/heads/{branch}" in _checked_out(objects):
        return False
    git.run(objects, "update-ref", "--no-deref", "-d", f"refs/heads/{branch}", commit)
    return True


def read_branch(objects: Path, branch: str) -> str | None:
    """The commit a branch is at; None where there is none."""
    listing = git.run(objects, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
    return listing.decode().strip() or None


def message(subject: str, body: str, trailers: Mapping[str, str]) -> str:
    """A commit message: subject of one line, body, trailers of one line each."""
    lines = [" ".join(subject.split())[:100], "", body.strip(), ""]
    lines += [f"{name}: {' '.join(str(value).split())}" for name, value in trailers.items()]
    return "\n".join(lines) + "\n"


def format_patch(objects: Path, commit: str) -> bytes:
    """The commit as a mail that `git am` takes."""
    options = ("--no-signature", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
    with stand_in(objects) as ours:
        return git.run(ours, "format-patch", "-1", "--stdout", *options, commit)


def _show(ours: Path, what: str, commit: str) -> str:
    return git.run(ours, "show", "-s", f"--format={what}", commit).decode("utf-8", "replace")


def _commit(ours: Path, tree: str, parent: str, words: str, at: datetime) -> str:
    date = f"{int(at.timestamp())} +0000"
    variables = {**IDENTITY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    made = git.run(
        ours,
        "commit-tree",
        "--no-gpg-sign",
        "-p",
        parent,
        "-F",
        "-",
        tree,
        stdin=words.encode(),
        variables=variables,
    )
    return made.decode().strip()


def _checked_out(objects: Path) -> set[str]:
    """The branches that some work tree of the repository has checked out."""
    listing = git.run(objects, "worktree", "list", "--porcelain").decode("utf-8", "replace")
    found = {line.removeprefix("branch ") for line in listing.splitlines() if line.startswith("branch ")}
    # Read as a bare repository, git does not count the main work tree's branch; a detached HEAD has none.
    with suppress(git.GitError):
        found.add(git.run(objects, "symbolic-ref", "--quiet", "HEAD").decode().strip())
    return found
