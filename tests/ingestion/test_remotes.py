"""Git that talks to others: nothing of a repository's configuration or hooks has a part in it."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion import git, remotes
from tests.http_server import LocalServer, local_server, write_certificate
from tests.ingestion.conftest import GitRepository

HOOKS = (
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "reference-transaction",
    "proc-receive",
    "push-to-checkout",
    "pre-push",
    "pre-auto-gc",
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves `sprung` behind if it is run."""
    script = tmp_path / "trap.sh"
    script.write_text(f'#!/bin/sh\necho "$0" >> {tmp_path}/sprung\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def sprung(tmp_path: Path) -> Callable[[], bool]:
    return (tmp_path / "sprung").exists


@pytest.fixture
def target(make_repository: Callable[..., GitRepository], trap: Path) -> GitRepository:
    """A bare repository whose hooks and settings all spring the trap."""
    made = make_repository("target.git", "--bare")
    arm(made, made.path, trap)
    return made


def arm(repository: GitRepository, folder: Path, trap: Path) -> None:
    (folder / "hooks").mkdir(exist_ok=True)
    for name in HOOKS:
        shutil.copy(trap, folder / "hooks" / name)
    for name in (
        "core.fsmonitor",
        "core.alternateRefsCommand",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "credential.helper",
        "gpg.program",
        "uploadpack.packObjectsHook",
        "remote.evil.uploadpack",
        "remote.evil.receivepack",
        "ssh.variant",
    ):
        repository.git("config", name, str(trap))
    repository.git("config", "core.hooksPath", str(folder / "hooks"))
    repository.git("config", "push.gpgSign", "true")
    repository.git("config", "receive.certNonceSeed", "x")
    repository.git("config", "receive.denyCurrentBranch", "updateInstead")


def give_away(path: Path) -> None:
    for folder, names, files in os.walk(path):
        for name in (".", *names, *files):
            os.chown(os.path.join(folder, name), 65_534, 65_534)  # noqa: PTH118


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_push_to_a_path_runs_no_hook_and_no_setting_of_either_side(
    repository: GitRepository, target: GitRepository, trap: Path, sprung: Callable[[], bool], form: str
) -> None:
    commit = repository.commit({"a.py": "1\n"})
    arm(repository, repository.path / ".git", trap)
    remotes.push(repository.path, form.format(target.path), "main")
    assert git.resolve(target.path, "main").oid == commit
    assert not sprung()


def test_a_push_into_a_work_tree_does_not_write_to_it(
    repository: GitRepository,
    make_repository: Callable[..., GitRepository],
    trap: Path,
    sprung: Callable[[], bool],
) -> None:
    repository.commit({"a.py": "1\n"})
    other = make_repository("other")
    other.commit({"b.py": "1\n"})
    arm(other, other.path / ".git", trap)
    with pytest.raises(git.GitError):
        remotes.push(repository.path, str(other.path), "main")
    assert not (other.path / "a.py").exists()
    assert not sprung()


@pytest.mark.parametrize(
    "url",
    [
        "{}",
        "file://{}",
        "{}/.",
        "ext::sh -c 'touch {}/pwned'",
        "fd::1",
        "git://127.0.0.1/x",
        "http://127.0.0.1/x",
        "",
        "-oProxy",
        "https://127.0.0.1:1/x\n{}",
        "https://user:secret@127.0.0.1/x",
    ],
)
def test_a_remote_that_the_repository_names_is_behind_https_or_ssh_or_refused(
    repository: GitRepository, target: GitRepository, sprung: Callable[[], bool], url: str
) -> None:
    repository.commit({"a.py": "1\n"})
    repository.git("config", "remote.origin.url", url.format(target.path))
    with pytest.raises(QflowError) as refused:
        remotes.push(repository.path, "origin", "main")
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
    assert not (target.path / "refs" / "heads" / "main").exists()
    assert not (target.path / "pwned").exists()
    assert not sprung()


def test_a_folder_called_as_the_remote_is_not_pushed_to(
    repository: GitRepository, target: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"a.py": "1\n"})
    target.path.rename(target.path.with_name("origin"))
    monkeypatch.chdir(target.path.parent)
    with pytest.raises(git.GitError, match=r"no remote 'origin'.* \(\./origin\)"):
        remotes.push(repository.path, "origin", "main")
    remotes.push(repository.path, "./origin", "main")
    assert git.resolve(target.path.with_name("origin"), "main")


@pytest.mark.parametrize("rewrite", ["insteadOf", "pushInsteadOf"])
def test_no_setting_of_the_repository_turns_https_into_another_protocol(
    repository: GitRepository, target: GitRepository, trap: Path, sprung: Callable[[], bool], rewrite: str
) -> None:
    repository.commit({"a.py": "1\n"})
    arm(repository, repository.path / ".git", trap)
    url = "https://127.0.0.1:1/x"
    repository.git("config", "remote.origin.url", url)
    repository.git("config", "remote.origin.pushurl", str(target.path))
    repository.git("config", "remote.origin.vcs", "evil")
    repository.git("config", f"url.{target.path}.{rewrite}", url)
    repository.git("config", "http.proxy", "http://127.0.0.1:2")
    with pytest.raises(git.GitError, match=r"127\.0\.0\.1 port 1"):
        remotes.push(repository.path, "origin", "main")
    assert not (target.path / "refs" / "heads" / "main").exists()
    assert not sprung()


@as_root
def test_a_repository_of_another_user_is_not_pushed_to(
    repository: GitRepository, target: GitRepository, sprung: Callable[[], bool]
) -> None:
    repository.commit({"a.py": "1\n"})
    give_away(target.path)
    for form in ("{}", "file://{}"):
        with pytest.raises(UsageError, match=r"belongs to another user.* push by ssh, or as that user"):
            remotes.push(repository.path, form.format(target.path), "main")
    assert not sprung()


@as_root
def test_a_work_tree_that_points_into_a_repository_of_another_user_is_not_pushed_to(
    repository: GitRepository, target: GitRepository, tmp_path: Path, sprung: Callable[[], bool]
) -> None:
    repository.commit({"a.py": "1\n"})
    give_away(target.path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".git").write_text(f"gitdir: {target.path}\n")
    with pytest.raises(UsageError, match="belongs to another user"):
        remotes.push(repository.path, str(tmp_path / "mine"), "main")
    assert not sprung()


@as_root
def test_a_repository_of_another_user_is_mirrored_and_runs_nothing(
    repository: GitRepository, trap: Path, sprung: Callable[[], bool], tmp_path: Path
) -> None:
    commit = repository.commit({"a.py": "1\n"})
    arm(repository, repository.path / ".git", trap)
    give_away(repository.path)
    url, mirror = f"file://{repository.path}", tmp_path / "mirror"
    assert remotes.head(url) == commit
    for _ in range(2):
        remotes.mirror(url, mirror, 60, lambda *_: None)
    assert git.resolve(mirror, "HEAD").oid == commit
    assert not sprung()


def test_a_partial_clone_is_not_completed_by_what_it_names(
    repository: GitRepository, trap: Path, sprung: Callable[[], bool], tmp_path: Path
) -> None:
    repository.commit({"a.py": "1\n"})
    for name, value in {
        "remote.evil.url": str(repository.path),
        "remote.evil.promisor": "true",
        "remote.evil.uploadpack": str(trap),
        "extensions.partialClone": "evil",
    }.items():
        repository.git("config", name, value)
    blob = repository.git("rev-parse", "HEAD:a.py")
    (repository.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(git.GitError):
        remotes.mirror(f"file://{repository.path}", tmp_path / "mirror", 60, lambda *_: None)
    assert not sprung()


def test_what_was_cut_off_is_pushed_and_mirrored(
    repository: GitRepository,
    target: GitRepository,
    make_repository: Callable[..., GitRepository],
    tmp_path: Path,
) -> None:
    repository.commit({"a.py": "1\n"})
    repository.commit({"a.py": "2\n"})
    remotes.push(repository.path, str(target.path), "main")
    shallow = make_repository("shallow")
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{repository.path}", "main:cut")
    shallow.git("checkout", "--quiet", "cut")
    commit = shallow.commit({"b.py": "1\n"})
    remotes.push(shallow.path, str(target.path), "cut")
    assert git.resolve(target.path, "cut").oid == commit
    remotes.mirror(f"file://{shallow.path}", tmp_path / "mirror", 60, lambda *_: None)
    assert git.resolve(tmp_path / "mirror", "HEAD").oid == commit


def test_a_mirror_is_written_within_its_limit(
    repository: GitRepository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from qflow_dagster.settings import settings

    repository.commit({"a.bin": os.urandom(3_000_000)})
    monkeypatch.setenv("QFLOW_INGESTION_MIRROR_BYTES", "1000000")
    settings.cache_clear()
    try:
        with pytest.raises(git.GitError, match="cannot be read"):
            remotes.mirror(f"file://{repository.path}", tmp_path / "mirror", 60, lambda *_: None)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert not (tmp_path / "mirror").exists()


def test_a_path_with_a_colon_is_read_and_patched(
    make_repository: Callable[..., GitRepository], tmp_path: Path
) -> None:
    from qflow_dagster.ingestion import checkouts

    repository = make_repository('with:colon "and quote')
    commit = repository.commit({"a.py": "1\n"})
    folder = tmp_path / "work"
    folder.mkdir()
    with checkouts.scratch(repository.path) as store:
        checkouts.export(store, commit, folder)
    assert (folder / "a.py").read_text() == "1\n"
    assert stat.S_IMODE((folder / "a.py").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "location", ["https://[x", "https://[::1", "ssh://a]b/c", "https://a\u2100b/c", "://[", "https://a/b\nc"]
)
def test_an_address_that_is_none_is_refused_in_one_line(location: str) -> None:
    with pytest.raises(UsageError) as refused:
        remotes.url_protocol(location)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://git.example/team/shop.git", "https://git.example/team/shop"),
        ("https://git.example/shop/", "https://git.example/shop"),
        ("https://user:secret@git.example/shop", None),
        ("git@git.example:team/shop.git", None),
        ("http://git.example/shop", None),
        ("javascript://%0aalert(1)", None),
        ("/srv/shop.git", None),
    ],
)
def test_the_page_of_a_repository_is_its_https_remote(
    repository: GitRepository, url: str, page: str | None
) -> None:
    assert remotes.web_page(repository.path, str(repository.path)) is None
    repository.git("remote", "add", "origin", url)
    assert remotes.web_page(repository.path, str(repository.path)) == page


def test_the_page_of_a_mirrored_repository_is_its_own_address(tmp_path: Path) -> None:
    assert remotes.web_page(tmp_path, "https://git.example/shop.git") == "https://git.example/shop"
    assert remotes.web_page(tmp_path, "ssh://git@git.example/shop.git") is None


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A server behind https that git trusts, and credentials for it and its neighbours in ~/.netrc."""
    both = write_certificate(tmp_path / "both.pem")
    (tmp_path / ".netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_SSL_CAINFO", str(both))
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with local_server(certificate=both) as server:
        yield server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_and_no_credential_goes_with_one(
    repository: GitRepository, https: LocalServer, tmp_path: Path, status: int
) -> None:
    repository.commit({"a.py": "1\n"})
    with local_server(certificate=tmp_path / "both.pem") as other:
        https.status = status
        there = f"{other.url}/private.git/info/refs?service=git-upload-pack"
        https.headers = {"Location": there, "Content-Length": "0"}
        address = f"{https.url}/public.git"
        words = f"{https.url}/public.git.* is redirected .* new address"
        with pytest.raises(git.GitError, match=words):
            remotes.mirror(address, tmp_path / "mirror", 30, lambda *_: None)
        with pytest.raises(git.GitError, match=words):
            remotes.head(address)
        with pytest.raises(git.GitError, match=words):
            remotes.push(repository.path, address, "main")
        assert len(https.received) == 3
        assert not other.received
