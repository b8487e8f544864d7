"""Edits in git: a commit on a branch of its own, and the commit that reverts it.

Belongs here: making those commits without touching the user's work tree, index or checked-out branch.
Does not belong here: whether an edit may be made (`self_improvement`).

A commit is a function of its suggestion: made again after a crash, it is the same commit.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from qflow_dagster.agents import commit_identity
from qflow_dagster.agents.commit_identity import CommitIdentity
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.generation import patches
from qflow_dagster.generation.patches import Patch
from qflow_dagster.ingestion import checkouts, git
from qflow_dagster.ingestion.stand_ins import keep, stand_in
from qflow_dagster.safety.display import visible_line

NO_COMMIT = "0" * 40
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,180}")


class BranchMovedError(QflowError):
    """The branch is not at the expected commit; somebody else works on it, or has it checked out."""


def branch_name(prefix: str, title: str, id_: str) -> str:
    """Return the branch of an edit: prefix, words of its title, the end of its id."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:50].strip("-")
    return f"{prefix}{slug or 'edit'}-{id_.replace('-', '')[-8:]}"


def make_commit(
    objects: Path, base: str, patch: Patch, subject: str, body: str, trailers: Mapping[str, str], at: datetime
) -> str:
    """Make the commit of `patch` on `base`, not yet on any branch; return its id.

    Raises:
        PatchRefusedError: the patch does not apply.
    """
    identity = commit_identity.of_repository(objects)
    with checkouts.scratch(objects) as store:
        tree = patches.apply(store, base, patch)
        commit = _commit(store.stand_in, tree, base, message(subject, body, trailers, identity), at, identity)
        keep(store.stand_in, commit, objects)
    return commit


def make_revert(
    objects: Path, commit: str, base: str, reason: str, trailers: Mapping[str, str], at: datetime
) -> str:
    """Make the commit that reverts `commit` (whose parent is `base`); return its id."""
    identity = commit_identity.of_repository(objects)
    with stand_in(objects) as git_dir:
        tree = git.resolve(git_dir, base).tree
        subject = f'Revert "{_show(git_dir, "%s", commit).strip()}"'
        body = f"This reverts commit {commit}.\n\n{reason}"
        revert = _commit(git_dir, tree, commit, message(subject, body, trailers, identity), at, identity)
        keep(git_dir, revert, objects)
    return revert


def rebase(git_dir: Path, objects: Path, commit: str, tree: str, onto: str, at: datetime) -> str:
    """Make `commit` again as the child of `onto` with the merged `tree` of `git_dir`; return the new commit's id."""
    identity = commit_identity.of_repository(objects)
    rebased = _commit(git_dir, tree, onto, _show(git_dir, "%B", commit).strip() + "\n", at, identity)
    keep(git_dir, rebased, objects)
    return rebased


def patch_of(objects: Path, base: str, commit: str) -> Patch:
    """Return the patch between two commits that differ in the content of tracked files."""
    arguments = ("diff-tree", "-r", "--no-renames", "--name-only", "-z", base, commit)
    with checkouts.scratch(objects) as store:
        paths = tuple(store.git(*arguments).decode().split("\0")[:-1])
        contents = patches.contents(store, commit, paths)
    return patches.make(objects, base, contents)


def set_branch(objects: Path, branch: str, commit: str, expected: str | None) -> None:
    """Move a branch from `expected` (None: it must not exist) to `commit`, unless it is there already.

    Raises:
        UsageError: the name is not a valid branch name.
        BranchMovedError: the branch is at another commit, or checked out.
    """
    if not BRANCH.fullmatch(branch) or ".." in branch or branch.endswith((".lock", "/", ".")):
        raise UsageError(f"{branch!r} cannot be a branch")
    ref = f"refs/heads/{branch}"
    current = read_branch(objects, branch)
    if current == commit:
        return
    if is_checked_out(objects, branch):
        raise BranchMovedError(
            f"{branch} is checked out; its work tree would no longer match: check out another branch first"
        )
    size = len(commit)
    expected_oid = expected or NO_COMMIT[:40].ljust(size, "0")
    try:
        git.run(objects, "update-ref", "--no-deref", "-m", "qflow", ref, commit, expected_oid)
    except git.GitError as error:
        raise BranchMovedError(f"{branch} could not be moved: {str(error).splitlines()[0]}") from None


def made_for(objects: Path, branch: str, suggestion: str) -> str | None:
    """Return the newest commit of a branch if it was made for that suggestion, else None.

    Only for a suggestion that was never recorded as applied: then a killed process made the commit.
    """
    commit = read_branch(objects, branch)
    if commit is None:
        return None
    with stand_in(objects) as git_dir:
        commit_message = _show(git_dir, "%B", commit)
    return commit if f"Qflow-Suggestion: {suggestion}" in commit_message else None


def delete_branch(objects: Path, branch: str, commit: str) -> bool:
    """Delete a branch that is at `commit`; return False if a work tree has it checked out.

    Raises:
        BranchMovedError: it has moved.
    """
    if is_checked_out(objects, branch):
        return False
    try:
        git.run(objects, "update-ref", "--no-deref", "-d", f"refs/heads/{branch}", commit)
    except git.GitError as error:
        raise BranchMovedError(f"{branch} could not be deleted: {str(error).splitlines()[0]}") from None
    return True


def read_branch(objects: Path, branch: str) -> str | None:
    """Return the commit a branch is at, or None if there is no such branch."""
    listing = git.run(objects, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
    return listing.decode().strip() or None


def message(subject: str, body: str, trailers: Mapping[str, str], identity: CommitIdentity) -> str:
    """Return a commit message: a subject of one line, the body, trailers of one line each."""
    lines = [" ".join(subject.split())[:100], "", body.strip(), ""]
    trailers = {**trailers, **identity.trailers}
    lines += [f"{name}: {' '.join(str(value).split())}" for name, value in trailers.items()]
    return "\n".join(lines) + "\n"


def format_patch(objects: Path, commit: str) -> bytes:
    """Return the commit as a mail that `git am` applies."""
    options = ("--no-signature", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
    with stand_in(objects) as git_dir:
        return git.run(git_dir, "format-patch", "-1", "--stdout", *options, commit)


def _show(git_dir: Path, format_: str, commit: str) -> str:
    return git.run(git_dir, "show", "-s", f"--format={format_}", commit).decode("utf-8", "replace")


def _commit(
    git_dir: Path, tree: str, parent: str, commit_message: str, at: datetime, identity: CommitIdentity
) -> str:
    date = f"{int(at.timestamp())} +0000"
    variables = {**identity.variables, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    options, configuration = commit_identity.signing()
    arguments = ("commit-tree", *options, "-p", parent, "-F", "-", tree)
    try:
        commit = git.run(
            git_dir,
            *arguments,
            stdin=commit_message.encode(),
            variables=variables,
            configuration=configuration,
        )
    except git.GitError as error:
        if not configuration:
            raise
        printed = visible_line(error.stderr.strip(), 500)
        raise git.GitError(
            f"the commit could not be signed: {printed or error}; check QFLOW_IMPROVEMENT_SIGNATURE, _SIGNING_KEY and "
            "_SIGNING_PROGRAM"
        ) from None
    return commit.decode().strip()


def is_checked_out(objects: Path, branch: str) -> bool:
    """Return whether any work tree of the repository has the branch checked out."""
    listing = git.run(objects, "worktree", "list", "--porcelain").decode("utf-8", "replace")
    refs = {line.removeprefix("branch ") for line in listing.splitlines() if line.startswith("branch ")}
    # For a bare repository git does not list the main work tree's branch; a detached HEAD has none.
    with suppress(git.GitError):
        refs.add(git.run(objects, "symbolic-ref", "--quiet", "HEAD").decode().strip())
    return f"refs/heads/{branch}" in refs
