"""Git, told to trust nothing: whatever a repository carries, nothing of it runs."""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion import git, remotes, repositories, trees
from tests.ingestion.conftest import GitRepository, Ingested


@pytest.fixture
def trap(tmp_path: Path) -> Callable[[], str]:
    """A program that leaves a file behind if it is ever run; `trap.sprung()` tells."""
    script = tmp_path / "trap.sh"
    sprung = tmp_path / "sprung"
    script.write_text(f"#!/bin/sh\necho ran >> {sprung}\ncat\n")
    script.chmod(0o755)

    def path() -> str:
        return str(script)

    path.sprung = lambda: sprung.exists()  # type: ignore[attr-defined]
    return path


CONFIGURED = (
    "core.fsmonitor",
    "core.hooksPath",
    "core.pager",
    "core.sshCommand",
    "core.askPass",
    "core.gitProxy",
    "core.editor",
    "core.alternateRefsCommand",
    "diff.external",
    "diff.evil.textconv",
    "diff.evil.command",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "gpg.program",
    "gpg.ssh.program",
    "credential.helper",
    "uploadpack.packObjectsHook",
    "pager.log",
    "merge.evil.driver",
    "trailer.x.command",
    "trailer.co-authored-by.command",
    "alias.log",
    "alias.ls-tree",
    "alias.cat-file",
    "interactive.diffFilter",
    "sequence.editor",
    "remote.origin.uploadpack",
    "remote.origin.vcs",
)


def test_nothing_a_repository_configures_is_run(
    repository: GitRepository, ingested: Ingested, trap: Callable[[], str]
) -> None:
    repository.commit({"a.py": "x = 1\n", ".gitattributes": "* diff=evil filter=evil merge=evil text\n"})
    repository.commit({"a.py": "x = 2\n"}, "two\n\nCo-authored-by: A <a@b>")
    with (repository.path / ".git" / "config").open("a") as config:
        for name in CONFIGURED:
            section, _, key = name.rpartition(".")
            outer, _, inner = section.partition(".")
            header = f'[{outer} "{inner}"]' if inner else f"[{outer}]"
            config.write(f"{header}\n\t{key} = !{trap()}\n{header}\n\t{key} = {trap()}\n")
        config.write(
            "[core]\n\tworktree = /\n[extensions]\n\tworktreeConfig = true\n[log]\n\tshowSignature = true\n"
        )
        config.write("[include]\n\tpath = more\n")
    (repository.path / ".git" / "more").write_text(f"[core]\n\tfsmonitor = {trap()}\n\tpager = {trap()}\n")
    hooks = repository.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout",
        "reference-transaction",
        "fsmonitor-watchman",
        "pre-auto-gc",
        "post-index-change",
    ):
        (hooks / name).write_text(Path(trap()).read_text())
        (hooks / name).chmod(0o755)
    ingested(repository)
    assert set(ingested.files()) == {"a.py", ".gitattributes"}
    assert not trap.sprung()  # type: ignore[attr-defined]


def test_a_mirror_of_a_hostile_repository_runs_nothing_either(
    repository: GitRepository, ingested: Ingested, trap: Callable[[], str]
) -> None:
    repository.commit({"a.py": "x = 1\n"})
    config = repository.path / ".git" / "config"
    with config.open("a") as file:
        file.write(f"[uploadpack]\n\tpackObjectsHook = {trap()}\n[core]\n\tfsmonitor = {trap()}\n")
    hook = repository.path / ".git" / "hooks" / "post-upload-pack"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(Path(trap()).read_text())
    hook.chmod(stat.S_IRWXU)
    ingested(f"file://{repository.path}")
    assert set(ingested.files()) == {"a.py"}
    assert not trap.sprung()  # type: ignore[attr-defined]


@pytest.mark.parametrize("revision", ["--output=/tmp/x", "-1", "main\nHEAD", "", "no-such", "HEAD:a.py"])
def test_a_revision_that_is_none_is_refused_by_name(repository: GitRepository, revision: str) -> None:
    repository.commit({"a.py": "x = 1\n"})
    with pytest.raises(QflowError, match="revision"):
        git.resolve(repository.path, revision)


def test_revisions_are_branches_tags_ids_and_expressions(repository: GitRepository) -> None:
    first = repository.commit({"a.py": "1\n"})
    repository.git("tag", "-a", "v1", "-m", "one")
    second = repository.commit({"a.py": "2\n"})
    assert git.resolve(repository.path, "v1").oid == first
    assert git.resolve(repository.path, "main").oid == second
    assert git.resolve(repository.path, "HEAD~1").oid == first
    assert git.resolve(repository.path, first[:10]).oid == first


def test_the_environment_of_the_caller_changes_nothing(
    repository: GitRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    oid = repository.commit({"a.py": "1\n"})
    other = GitRepository(tmp_path / "other")
    other.commit({"b.py": "1\n"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / ".git" / "objects"))
    monkeypatch.setenv("QFLOW_DATABASE_URL", "postgresql://user:secret@host/db")
    assert git.resolve(repository.path, "HEAD").oid == oid
    assert "secret" not in str(git.environment())


def test_a_git_that_hangs_is_ended_with_all_it_started(repository: GitRepository) -> None:
    repository.commit({"a.py": "1\n"})
    started = time.monotonic()
    with pytest.raises(git.GitError, match="took longer than 1 s"):
        git.run(repository.path, "cat-file", "--batch", timeout=1, stdin=b"", configuration=()) or git.run(
            repository.path, "-c", "alias.wait=!sleep 600", "wait", timeout=1
        )
    assert time.monotonic() - started < 30


def test_a_stream_that_is_left_early_ends_git(repository: GitRepository) -> None:
    oid = repository.commit({"a.py": "1\n"})
    stdin = f"{oid}\n".encode() * 10_000
    with git.stream(repository.path, "cat-file", "--batch", stdin=stdin) as output:
        assert output.readline()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_path_that_may_not_be_looked_at_is_refused_as_such(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "closed" / "project").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    closed = tmp_path / "closed" / "project"
    with engine.connect() as connection:
        os.seteuid(65_534)
        try:
            for refuse in (
                lambda: git.find_repository(closed),
                lambda: repositories.register(connection, str(closed)),
                lambda: remotes._local_path(f"file://{closed}"),
            ):
                with pytest.raises(UsageError, match=f"{closed} cannot be looked at: Permission denied"):
                    refuse()
        finally:
            os.seteuid(0)
        for path in (f"/{'x' * 300}", f"me@host:{'x' * 300}"):
            with pytest.raises(UsageError, match="cannot be looked at: File name too long"):
                repositories.register(connection, path)
        with pytest.raises(UsageError, match="no such user"):
            repositories.register(connection, "~nobody-of-that-name/project")


def test_a_folder_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        git.find_repository(tmp_path / "missing")
    with pytest.raises(UsageError, match="is not inside a git repository; git init one there"):
        git.find_repository(tmp_path)
    (tmp_path / ".git").mkdir()
    with pytest.raises(UsageError, match="is not a usable git repository"):
        git.find_repository(tmp_path)


def test_a_repository_is_found_from_inside_and_when_bare(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit({"deep/folder/a.py": "1\n"})
    assert git.find_repository(repository.path / "deep" / "folder") == repository.path
    bare = tmp_path / "bare.git"
    repository.git("clone", "--quiet", "--bare", ".", str(bare))
    assert git.find_repository(bare) == bare
    worktree = tmp_path / "worktree"
    repository.git("worktree", "add", "--quiet", "--detach", str(worktree))
    assert git.find_repository(worktree) == worktree
    assert [entry.path for entry in git.list_tree(worktree, "HEAD")] == ["deep/folder/a.py"]


@given(st.binary(min_size=1, max_size=30).filter(lambda path: b"\0" not in path))
def test_quoting_a_path_is_what_git_does_and_loses_nothing(path: bytes) -> None:
    quoted = git.quote_path(path)
    assert "\n" not in quoted
    assert "\0" not in quoted
    if quoted.startswith('"'):
        unescaped = quoted[1:-1].encode().decode("unicode_escape").encode("latin-1")
        try:
            path.decode()
        except UnicodeDecodeError:
            assert unescaped == path
    else:
        assert quoted.encode() == path


@given(
    st.sets(st.binary(min_size=1, max_size=6).filter(lambda path: b"\0" not in path), min_size=2, max_size=8)
)
def test_different_paths_stay_different(paths: set[bytes]) -> None:
    assert len({git.quote_path(path) for path in paths}) == len(paths)


def test_a_path_quoted_here_is_the_one_git_prints(repository: GitRepository) -> None:
    names = [
        b"plain.py",
        b'q"uote',
        b"tab\t",
        b"bell\x07",
        b"back\\slash",
        "ü".encode(),
        b"\xff\xfe",
        b"del\x7f",
    ]
    for name in names:
        Path(os.fsdecode(os.fsencode(repository.path) + b"/" + name)).write_bytes(b"x")
    repository.commit()
    printed = repository.git("-c", "core.quotePath=off", "ls-tree", "-r", "--name-only", "HEAD").split("\n")
    ours = {git.quote_path(name) for name in names}
    # Git leaves bytes that are no UTF-8 as they are with quotePath off; text cannot hold them.
    assert ours - set(printed) <= {'"\\377\\376"'}


def test_changed_entries_are_those_of_a_full_listing(repository: GitRepository) -> None:
    repository.commit({f"d/{n}.py": f"{n}\n" for n in range(10)})
    before = git.list_tree(repository.path, "HEAD")
    (repository.path / "d" / "3.py").unlink()
    repository.git("mv", "d/4.py", "d/four.py")
    repository.commit({"d/5.py": "changed\n", "e.py": "new\n"})
    after = git.list_tree(repository.path, "HEAD")
    changed, removed = trees.changed_entries(repository.path, "HEAD~1", "HEAD")
    rebuilt = {entry.path: entry for entry in before if entry.path not in removed}
    rebuilt |= {entry.path: entry for entry in changed}
    assert rebuilt == {entry.path: entry for entry in after}


@pytest.mark.parametrize(
    ("location", "protocol"),
    [
        ("https://example.com/a/b.git", "https"),
        ("ssh://git@example.com:22/a/b", "ssh"),
        ("git@example.com:a/b.git", "ssh"),
        ("file:///srv/a", "file"),
        ("/srv/a", None),
        ("./a", None),
        ("a:b", None),
    ],
)
def test_protocols(location: str, protocol: str | None) -> None:
    assert remotes.url_protocol(location) == protocol


@pytest.mark.parametrize(
    "location",
    [
        "http://example.com/a",
        "git://example.com/a",
        "ext::sh -c evil",
        "ftp://x/y",
        "https://user:pw@x/y",
        "https://token@x/y",
        "ssh://git:pw@x/y",
        "https://x/y?token=secret",
        "ext://sh",
    ],
)
def test_other_protocols_and_credentials_are_refused_without_repeating_them(location: str) -> None:
    if "://" not in location:
        assert remotes.url_protocol(location) is None
        return
    with pytest.raises(UsageError) as refused:
        remotes.url_protocol(location)
    assert "pw" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_mirror_follows_branches_tags_and_the_default_branch(
    repository: GitRepository, tmp_path: Path
) -> None:
    repository.commit({"a.py": "1\n"})
    url, mirror = f"file://{repository.path}", tmp_path / "mirrors" / "m"
    remotes.mirror(url, mirror, 60, lambda *_: None)
    repository.git("checkout", "--quiet", "-b", "trunk")
    new = repository.commit({"b.py": "1\n"})
    repository.git("tag", "v1")
    repository.git("branch", "--delete", "--force", "main")
    assert remotes.head(url) == new
    remotes.mirror(url, mirror, 60, lambda *_: None)
    assert git.resolve(mirror, "HEAD").oid == new
    assert git.resolve(mirror, "v1").oid == new
    with pytest.raises(git.GitError):
        git.resolve(mirror, "main")


def test_a_url_that_cannot_be_read_leaves_no_mirror_and_no_registration(
    ingested: Ingested, tmp_path: Path
) -> None:
    with pytest.raises(QflowError, match="cannot be read"):
        ingested(f"file://{tmp_path}/nothing")
    assert ingested.rows("SELECT count(*) FROM repositories") == [(0,)]
    assert not list((tmp_path / "home").rglob("*.partial"))


def test_names_are_made_of_locations_and_stay_unique(
    make_repository: Callable[..., GitRepository], ingested: Ingested
) -> None:
    for name in ("a/project", "b/project", "c/we ird...name", "d/project.git"):
        make_repository(name).commit({"a.py": "1\n"})
        ingested(make_repository(name).path)
    names = [row[0] for row in ingested.rows("SELECT name FROM repositories ORDER BY id")]
    assert names == ["project", "project-2", "we-ird-name", "project-3"]
