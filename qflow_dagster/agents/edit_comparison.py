"""Compare an edit with the branch it is meant for, and decide what has become of it.

Belongs here: git's part of the comparison (`compare`) and the decision (`decide`), which needs neither git nor
database. Does not belong here: what follows from the decision (`edit_lifecycle`).

An edit is contained in a commit if merging it into that commit changes nothing. That holds for a merge, a
cherry-picked or rebased commit, and a squash of several edits alike, wherever the lines are by then.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git

# Commits of the target branch that are searched for the edit's content, the oldest first.
MAX_COMMITS = 200
# Of commits that exist during a comparison only.
IDENTITY = {
    f"GIT_{role}_{name}": value
    for role in ("AUTHOR", "COMMITTER")
    for name, value in (("NAME", "qflow"), ("EMAIL", "qflow@localhost"), ("DATE", "@0 +0000"))
}
CONFIGURATION = ("merge.renameLimit=1000", "merge.renames=true")

Content = Literal["contained", "undone", "mergeable", "conflicting"]
Decision = Literal["merged", "reverted", "superseded", "closed", "conflicting", "rebased", "applied"]


class Comparison(NamedTuple):
    """Where an edit stands relative to a commit of its target branch.

    `contained`: the target contains it, since the commit `at`. `undone`: it did, and does not any more.
    `mergeable`: merging it gives `tree`. `conflicting`: git cannot merge it, because of `paths`.
    """

    content: Content
    at: str | None = None
    tree: str | None = None
    paths: tuple[str, ...] = ()


def compare(git_dir: Path, commits: Sequence[str], base: str, head: str) -> Comparison:
    """Compare an edit with the commit `head` of its target branch.

    Args:
        git_dir: a stand-in of the repository, which receives the merged trees.
        commits: the commits that were made for the edit, the current one last.
        base: the parent of the current one.
        head: the head of the target branch.

    Raises:
        QflowError: git is too old.
    """
    for commit in commits:
        if not git.run(git_dir, "rev-list", "--max-count=1", commit, f"^{head}"):
            return Comparison("contained", commit)
    edit = commits[-1]
    merged, conflicts = merge(git_dir, base, head, edit)
    contained = not conflicts and merged == git.resolve(git_dir, head).tree
    earlier = next(
        (commit for commit in _touching(git_dir, edit, base, head) if _contains(git_dir, commit, base, edit)),
        None,
    )
    if contained:
        return Comparison("contained", earlier or head)
    if earlier is not None:
        # If it were contained still, but changed further since, the two changes would conflict.
        return Comparison("contained" if conflicts else "undone", earlier)
    if conflicts:
        return Comparison("conflicting", paths=conflicts)
    return Comparison("mergeable", tree=merged)


def short_name(target: str) -> str:
    """Return a target branch as people write it: `main` for `refs/heads/main`."""
    return target.removeprefix("refs/heads/")


def merge(git_dir: Path, base: str, ours: str, theirs: str) -> tuple[str, tuple[str, ...]]:
    """Apply the change from `base` to `theirs` to `ours`, as a cherry-pick does, without a work tree.

    Return the tree, and the paths that conflict.
    """
    # The commits of the target may have been rewritten since, so that `base` is none of its ancestors. Git takes
    # the base from the history (an option for it came with 2.40), so the merge is one of commits with no other.
    root = _commit(git_dir, base)
    sides = (_commit(git_dir, ours, "-p", root), _commit(git_dir, theirs, "-p", root))
    output = b""
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", *sides)
    try:
        with git.stream(git_dir, *arguments, timeout=git.TIMEOUT, configuration=CONFIGURATION) as printed:
            output = printed.read(git.MAX_OUTPUT)
    except git.GitError as error:
        if error.code == 129:
            raise QflowError("comparing edits with their branch needs git 2.38 or newer") from None
        # With exit code 1 git reports conflicts, and prints them as in the other case.
        if error.code != 1 or not output:
            raise
    tree, *paths = output.rstrip(b"\0").split(b"\0")
    return tree.decode(), tuple(dict.fromkeys(os.fsdecode(path) for path in paths))


def _commit(git_dir: Path, revision: str, *parents: str) -> str:
    arguments = ("commit-tree", "--no-gpg-sign", *parents, "-m", "compared", f"{revision}^{{tree}}")
    return git.run(git_dir, *arguments, variables=IDENTITY).decode().strip()


def changed_paths(git_dir: Path, before: str, after: str) -> list[str]:
    """Return the paths that differ between two commits or trees; a renamed file counts as two."""
    arguments = ("diff-tree", "-r", "--no-renames", "--name-only", "-z", before, after)
    return [os.fsdecode(path) for path in git.run(git_dir, *arguments).split(b"\0")[:-1]]


def renamed(git_dir: Path, before: str, after: str) -> dict[str, str]:
    """Return the new path by the old one, of files that were renamed between two commits."""
    arguments = ("diff-tree", "-r", "--find-renames", "--diff-filter=R", "--name-status", "-z")
    fields = git.run(git_dir, *arguments, before, after).split(b"\0")[:-1]
    return {os.fsdecode(old): os.fsdecode(new) for old, new in zip(fields[1::3], fields[2::3], strict=True)}


def _touching(git_dir: Path, edit: str, base: str, head: str) -> list[str]:
    """Return commits of the target branch since `base` that change files of the edit, the oldest first."""
    paths = changed_paths(git_dir, base, edit)
    # A squash of a pull request is one commit of the first parents; its own commits are not of interest.
    arguments = ("rev-list", "--first-parent", "--reverse", f"{base}..{head}", "--", *paths)
    return git.run(git_dir, *arguments).decode().split()[:MAX_COMMITS]


def _contains(git_dir: Path, commit: str, base: str, edit: str) -> bool:
    tree, conflicts = merge(git_dir, base, commit, edit)
    return not conflicts and tree == git.resolve(git_dir, commit).tree


class Facts(NamedTuple):
    """What is known of an edit when its target branch has moved.

    `needed`: the target still has findings that the edit removes. `outdated`: the target has changed files of the
    edit since the edit's base. `branch` is `ours` where its newest commit is, and no work tree has it checked out.
    """

    state: str
    content: Content
    needed: bool
    outdated: bool
    branch: Literal["ours", "others", "deleted"]


def decide(facts: Facts) -> Decision | None:
    """Return what becomes of the edit; None if nothing changes."""
    if facts.content == "contained":
        return "merged"
    if facts.content == "undone":
        return "reverted"
    if not facts.needed:
        return "superseded"
    if facts.branch == "deleted":
        return "closed"
    if facts.content == "conflicting":
        return None if facts.state == "conflicting" else "conflicting"
    if facts.outdated and facts.branch == "ours":
        return "rebased"
    return "applied" if facts.state == "conflicting" else None
