"""Shared places that are no folder: git repositories by path or URL, and single files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.sharing.publisher import publish
from qflow_dagster.evolution.sharing.rule_packages import MAX_FILE_BYTES
from qflow_dagster.evolution.sharing.shared_stores import BRANCH, open_store
from tests.evolution.sharing.rule_instances import (
    Home,
    Peer,
    make_home,
    make_rule,
    ours,
    publishable,
    refused,
    take,
)
from tests.ingestion.conftest import GitRepository

__all__ = ["make_home", "ours"]

RULE = make_rule()


def test_a_single_file_can_be_imported_and_not_published_into(ours: Home, tmp_path: Path) -> None:
    peer = Peer()
    file = tmp_path / "mail attachment"
    file.write_bytes(peer.package(RULE))
    assert len(take(ours, file, peer.key).imported) == 1
    with ours.connected() as connection:
        (failed,) = publish(connection, file, [publishable(RULE)]).failed
    assert "is a file" in failed.message
    with pytest.raises(UsageError, match="does not exist"):
        take(ours, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not supported"):
        take(ours, "http://example.org/rules.git")


@pytest.mark.parametrize("kind", ["work tree", "bare", "url"])
def test_a_git_repository_is_a_place_with_a_branch_of_its_own(
    make_home: Callable[[str], Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(
        "qflow_dagster.evolution.sharing.publisher.refusals", lambda rules, known: [""] * len(rules)
    )
    ann, bob = make_home("ann"), make_home("bob")
    repository = GitRepository(tmp_path / "repository", *(["--bare"] if kind == "bare" else []))
    head = repository.commit({"a.py": "x = 1\n"}) if kind != "bare" else None
    location = f"file://{repository.path}" if kind == "url" else repository.path
    for home, name in ((ann, "own/a"), (bob, "own/b"), (ann, "own/c")):
        with home.connected() as connection:
            report = publish(connection, location, [publishable(make_rule(name))])
            assert [told.subject for told in report.published] == [name], report.failed
            assert publish(connection, location, [publishable(make_rule(name))]).published == []
    assert repository.git("rev-list", "--count", BRANCH) == "3"
    assert len(repository.git("ls-tree", "-r", "--name-only", BRANCH).splitlines()) == 3
    if head:
        assert repository.git("rev-parse", "HEAD") == head
        assert repository.git("status", "--porcelain") == ""
    bob.trusted = [ann.key]
    report = take(bob, str(location))
    assert sorted(one.rule.id for one in report.imported) == ["own/a", "own/c"]
    assert report.own == 1


def test_links_and_large_files_in_git_are_refused(ours: Home, tmp_path: Path) -> None:
    peer = Peer()
    repository = GitRepository(tmp_path / "repository")
    repository.git("checkout", "--quiet", "-b", BRANCH)
    (repository.path / "link.json").symlink_to("/etc/hostname")
    repository.commit(
        {
            "good.json": peer.package(RULE),
            "huge.json": b" " * (MAX_FILE_BYTES + 1),
            "odd \x1b.json": b"{}",
            "notes.txt": b"no package",
        }
    )
    report = take(ours, repository.path, peer.key)
    assert [one.rule.id for one in report.imported] == [RULE.id]
    assert refused(report) == {
        "link.json": "it is not a regular file",
        "huge.json": "it is larger than 1,000,000 bytes",
        '"odd \\033.json"': "it is not signed",
    }


def test_two_publishers_that_meet_on_a_branch_both_arrive(
    make_home: Callable[[str], Home], tmp_path: Path
) -> None:
    ann = make_home("ann")
    repository = GitRepository(tmp_path / "repository", "--bare")
    for location in (repository.path, f"file://{repository.path}"):
        with (
            ann.active(),
            open_store(location, ann.engine) as first,
            open_store(location, ann.engine) as second,
        ):
            assert first.put({"ann-1/a.json": str(location).encode()}) == {}
            assert second.put({"ann-2/b.json": str(location).encode()}) == {}
            assert {file.name for file in second.read()} == {"ann-1/a.json", "ann-2/b.json"}
    assert repository.git("rev-list", "--count", BRANCH) == "4"


def test_a_url_that_does_not_answer_says_so(ours: Home, tmp_path: Path) -> None:
    with ours.connected() as connection, pytest.raises(QflowError, match="there is no repository at"):
        publish(connection, f"file://{tmp_path}/nothing.git", [publishable(RULE)])
