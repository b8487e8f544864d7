"""A refused push: what the remote said reaches the person, and the kinds of refusal differ.

The remote is reached by ssh, because only there (and by https) hooks of a remote run. The `ssh` of these tests runs
the command of the other side on this machine; git, the remote repository and its hooks are real.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qflow_dagster.ingestion import git, remotes
from qflow_dagster.ingestion.push_refusals import PushRefusedError
from tests.ingestion.conftest import GitRepository


@pytest.fixture
def remote(
    make_repository: Callable[..., GitRepository], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> GitRepository:
    """A bare repository that ssh reaches."""
    programs = tmp_path / "programs"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text('#!/bin/sh\nfor command; do :; done\nexec sh -c "$command"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return make_repository("remote.git", "--bare")


def hook(remote: GitRepository, script: str, name: str = "pre-receive") -> None:
    path = remote.path / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def refused(repository: GitRepository, remote: GitRepository, branch: str = "main") -> str:
    with pytest.raises(PushRefusedError) as error:
        remotes.push(repository.path, f"ssh://localhost{remote.path}", branch)
    return str(error.value)


def test_the_words_of_a_hook_are_shown_as_they_are(repository: GitRepository, remote: GitRepository) -> None:
    repository.commit({"a.py": "1\n"})
    hook(remote, "echo 'GL-HOOK-ERR: branch names must match ^feature/ OK'; echo second >&2; exit 1")
    first, *said, remedy = refused(repository, remote).splitlines()
    assert first.endswith("refused main: a hook of the remote rejected it (pre-receive hook declined)")
    assert sorted(said) == ["remote: GL-HOOK-ERR: branch names must match ^feature/ OK", "remote: second"]
    assert "QFLOW_IMPROVEMENT_BRANCH_PREFIX" in remedy
    with pytest.raises(git.GitError):
        git.resolve(remote.path, "refs/heads/main")


def test_a_protected_branch_is_named_as_such(repository: GitRepository, remote: GitRepository) -> None:
    repository.commit({"a.py": "1\n"})
    hook(
        remote,
        "echo 'GitLab: You are not allowed to push code to protected branches on this project.'; exit 1",
        "update",
    )
    message = refused(repository, remote)
    assert "refused main: it is protected there" in message
    assert "remote: GitLab: You are not allowed to push code to protected branches" in message


def test_a_branch_that_moved_is_not_overwritten(repository: GitRepository, remote: GitRepository) -> None:
    first = repository.commit({"a.py": "1\n"})
    address = f"ssh://localhost{remote.path}"
    remotes.push(repository.path, address, "main")
    repository.git("commit", "--quiet", "--amend", "--message", "other")
    message = refused(repository, remote)
    assert "the branch has moved there" in message
    assert "hook" not in message
    # Only what is named may be replaced.
    with pytest.raises(PushRefusedError, match="the branch has moved there"):
        remotes.push(repository.path, address, "main", replaces=repository.git("rev-parse", "HEAD"))
    second = remotes.push(repository.path, address, "main", replaces=first)
    assert git.resolve(remote.path, "main").oid == second == repository.git("rev-parse", "main")


def test_a_branch_checked_out_at_the_remote_is_named_as_such(
    repository: GitRepository, remote: GitRepository, make_repository: Callable[..., GitRepository]
) -> None:
    repository.commit({"a.py": "1\n"})
    other = make_repository("other")
    other.commit({"b.py": "1\n"})
    repository.git("fetch", "--quiet", str(other.path), "main")
    repository.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    repository.commit({"a.py": "2\n"})
    assert "a work tree there has it checked out" in refused(repository, other)


def test_what_the_remote_says_cannot_hide_or_move_text_or_be_endless(
    repository: GitRepository, remote: GitRepository
) -> None:
    repository.commit({"a.py": "1\n"})
    hook(
        remote,
        r"printf 'a\033[2Jb\342\200\256c\n'; i=0; while [ $i -lt 90 ]; do echo line $i; i=$((i+1)); done; exit 1",
    )
    message = refused(repository, remote)
    assert "remote: a<U+001B>[2Jb<U+202E>c\n" in message
    assert "\x1b" not in message
    assert "(61 more lines of the remote are not shown)" in message


def test_a_remote_that_is_not_reached_is_no_refusal(repository: GitRepository, remote: GitRepository) -> None:
    repository.commit({"a.py": "1\n"})
    with pytest.raises(git.GitError) as error:
        remotes.push(repository.path, f"ssh://localhost{remote.path}x", "main")
    assert not isinstance(error.value, PushRefusedError)
    assert "cannot be pushed to" in str(error.value)
