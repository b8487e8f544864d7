"""Commit-graph files: ours make git faster and change nothing, and one of the repository itself is never read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qflow_dagster.ingestion import commit_graphs, git
from qflow_dagster.ingestion.commit_graphs import history_of
from qflow_dagster.settings import settings
from tests.ingestion.conftest import GitRepository


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRepository]:
    """Three commits in a folder whose name is hard to quote, one of them merged and tagged."""
    monkeypatch.setenv("QFLOW_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    repository = GitRepository(tmp_path / 'a:b "c" # d')
    repository.commit({"a.py": "A = 1\n"}, "One")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit({"b.py": "B = 1\n"}, "Two")
    repository.git("tag", "-a", "-m", "Side", "v1")
    repository.git("checkout", "-q", "main")
    repository.commit({"a.py": "A = 2\n"}, "Three")
    repository.git("merge", "-q", "-m", "Four", "side")
    yield repository
    settings.cache_clear()


def log(repository: GitRepository) -> list[str]:
    with history_of(repository.path) as reader:
        printed = reader.run("log", "--format=%s %P", "--topo-order", repository.git("rev-parse", "main"))
    return printed.decode().splitlines()


def without_parents(graph: Path) -> None:
    """Change a commit-graph file so that no commit has a parent."""
    data = bytearray(graph.read_bytes())
    table = {
        bytes(data[at : at + 4]): int.from_bytes(data[at + 4 : at + 12])
        for at in range(8, 8 + 12 * data[6], 12)
    }
    commits = int.from_bytes(data[table[b"OIDF"] + 1020 : table[b"OIDF"] + 1024])
    for number in range(commits):
        parent = table[b"CDAT"] + number * 36 + 20
        data[parent : parent + 8] = (0x70000000).to_bytes(4) * 2
    graph.chmod(0o600)
    graph.write_bytes(data)


def test_our_commit_graph_changes_nothing(history: GitRepository) -> None:
    before = log(history)
    commit_graphs.write(history.path, history.git("rev-parse", "main"))
    with history_of(history.path) as reader:
        assert reader.graph is not None
    assert log(history) == before
    history.commit({"c.py": "C = 1\n"}, "Five")
    assert [row.partition(" ")[0] for row in log(history)][:2] == ["Five", "Four"]
    assert log(history)[1:] == before


@pytest.mark.parametrize("ours", [False, True])
def test_a_commit_graph_of_the_repository_is_not_read(history: GitRepository, ours: bool) -> None:
    before = log(history)
    history.git("commit-graph", "write", "--reachable")
    without_parents(history.path / ".git" / "objects" / "info" / "commit-graph")
    # Whoever reads it believes it.
    assert history.git("-c", "core.commitGraph=true", "log", "--format=%s") == "Four"
    if ours:
        commit_graphs.write(history.path, history.git("rev-parse", "main"))
    assert log(history) == before
    assert git.run(history.path, "rev-list", "--count", "main") == b"4\n"


def test_a_history_with_a_missing_commit_has_none(history: GitRepository) -> None:
    history.loose("main^").unlink()
    commit_graphs.write(history.path, history.git("rev-parse", "main"))
    with history_of(history.path) as reader:
        assert reader.graph is None


def test_a_shallow_history_has_none(history: GitRepository, tmp_path: Path) -> None:
    clone = tmp_path / "shallow"
    history.git("clone", "-q", "--depth=1", f"file://{history.path}", str(clone))
    commit_graphs.write(clone, history.git("rev-parse", "main"))
    with history_of(clone) as reader:
        assert reader.graph is None
        assert reader.run("rev-list", "--count", history.git("rev-parse", "main")) == b"1\n"


def test_it_is_deleted_with_its_repository(history: GitRepository) -> None:
    commit_graphs.write(history.path, history.git("rev-parse", "main"))
    commit_graphs.delete(history.path)
    commit_graphs.delete(history.path)
    assert list((settings().home / "commit-graphs").iterdir()) == []
