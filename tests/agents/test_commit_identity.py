"""Who makes the commits of edits, how they are signed off and signed; and what a repository has no say in."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qflow_dagster.agents import edit_commits
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.generation import patches
from qflow_dagster.settings import settings
from tests.ingestion.conftest import GitRepository

AT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setattr(settings().improvement, name, value)

    return set_


@pytest.fixture
def made(repository: GitRepository, home: Path) -> Callable[[str], str]:
    """Make the commit of an edit; return it as a format of `git show` describes it."""
    base = repository.commit({"a.py": "1\n"})

    def make(format_: str = "%an <%ae>|%cn <%ce>") -> str:
        patch = patches.make(repository.path, base, {"a.py": b"2\n"})
        commit = edit_commits.make_commit(repository.path, base, patch, "Edit", "why", {"A": "b"}, AT)
        return repository.git("show", "-s", f"--format={format_}", commit)

    return make


def test_commits_are_by_the_person_that_git_is_configured_for(
    repository: GitRepository, home: Path, made: Callable[..., str], configure: Callable[..., None]
) -> None:
    assert made() == "qflow <qflow@localhost>|qflow <qflow@localhost>"
    (home / ".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@home.example\n")
    assert made("%an <%ae>") == "Ada <ada@home.example>"
    repository.git("config", "user.email", "ada@work.example")
    assert made("%an <%ae>") == "Ada <ada@work.example>"
    configure(author="Bob <bob@example.com>")
    assert made() == "Bob <bob@example.com>|Bob <bob@example.com>"
    configure(committer="Build Bot <bot@example.com>", sign_off=True)
    assert made() == "Bob <bob@example.com>|Build Bot <bot@example.com>"
    assert made("%B").splitlines()[-2:] == ["A: b", "Signed-off-by: Build Bot <bot@example.com>"]


@pytest.mark.parametrize(
    ("name", "email", "expected"),
    [
        ("Eve\\nparent 123", "eve@x", "Eveparent 123 <eve@x>"),
        ("E\u202eve", "<eve@x>", "Eve <eve@x>"),
        ("...", "eve@x", "qflow <qflow@localhost>"),
        ("Eve", "eve @x", "qflow <qflow@localhost>"),
        ("Eve", "", "qflow <qflow@localhost>"),
    ],
)
def test_the_name_in_a_hostile_configuration_is_data(
    repository: GitRepository, made: Callable[..., str], name: str, email: str, expected: str
) -> None:
    with (repository.path / ".git" / "config").open("a") as file:
        file.write(f'[user]\n\tname = "{name}"\n\temail = "{email}"\n')
    assert made("%an <%ae>") == expected


def test_a_repository_chooses_neither_files_nor_programs(
    repository: GitRepository, made: Callable[..., str], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("[user]\n\tname = Secret\n\temail = s@x\n")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    repository.git("config", "include.path", str(secret))
    for name in ("gpg.program", "gpg.ssh.program", "gpg.ssh.defaultKeyCommand"):
        repository.git("config", name, str(trap))
    repository.git("config", "commit.gpgSign", "true")
    assert made("%an") == "qflow"
    assert not (tmp_path / "sprung").exists()


def test_commits_are_signed_with_an_ssh_key(
    repository: GitRepository, made: Callable[..., str], tmp_path: Path, configure: Callable[..., None]
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    configure(signature="ssh", signing_key=str(key))
    # The configuration of the repository does not choose the program.
    repository.git("config", "gpg.ssh.program", "false")
    commit = made("%H")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"qflow@localhost {key.with_suffix('.pub').read_text()}")
    repository.git(
        *("-c", f"gpg.ssh.allowedSignersFile={allowed}", "-c", "gpg.ssh.program=ssh-keygen"),
        *("verify-commit", commit),
    )


def test_commits_are_signed_with_an_openpgp_key(
    repository: GitRepository, home: Path, made: Callable[..., str], configure: Callable[..., None]
) -> None:
    gpg = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    try:
        subprocess.run(
            [*gpg, "--quick-gen-key", "qflow <qflow@localhost>", "ed25519", "sign"],
            check=True,
            capture_output=True,
        )
        configure(signature="openpgp", signing_key="qflow@localhost")
        assert "gpgsig -----BEGIN PGP SIGNATURE-----" in repository.git("cat-file", "commit", made("%H"))
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


def test_what_cannot_be_signed_is_not_committed_unsigned(
    made: Callable[..., str], configure: Callable[..., None]
) -> None:
    configure(signature="ssh", signing_key="/nowhere/key")
    with pytest.raises(QflowError, match=r"could not be signed: .*check QFLOW_IMPROVEMENT_SIGNATURE"):
        made()


@pytest.mark.parametrize("author", ["Ada", "<ada@example.com>", "Ada <>", "Ada <a b@example.com>"])
def test_an_author_that_names_nobody_is_refused(
    made: Callable[..., str], configure: Callable[..., None], author: str
) -> None:
    configure(author=author)
    with pytest.raises(UsageError, match=r"write it as 'Ada Lovelace <ada@example\.com>'"):
        made()
