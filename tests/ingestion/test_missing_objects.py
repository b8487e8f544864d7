"""Objects that are missing from a repository: the rest is ingested, the gap is noted, and filled later."""

import subprocess
from pathlib import Path

import pytest

from qflow_dagster.ingestion import history, queries
from qflow_dagster.metrics import pipeline
from tests.ingestion.conftest import GitRepository, Ingested

SOURCE = "def f(a):\n    return a\n"


def count_lines(ingested: Ingested) -> history.CountResult:
    [(repository_id,)] = ingested.rows("SELECT id FROM repositories")
    return pipeline.count_lines(ingested.engine, repository_id)


def states(ingested: Ingested) -> list[tuple[str, str]]:
    return [(row["history"], row["missing_blobs"]) for row in repositories(ingested)]


def repositories(ingested: Ingested) -> list[dict]:
    with ingested.engine.connect() as connection:
        return queries.repositories(connection)


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_blob_that_cannot_be_read_is_a_gap_until_it_can(
    repository: GitRepository, ingested: Ingested, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    repository.commit({"a.py": SOURCE, "b.py": "import a\n" + SOURCE, "c.h": "class X {\npublic:\n};\n"})
    files = {name: repository.loose(f"HEAD:{name}") for name in ("b.py", "c.h")}
    content = {file: file.read_bytes() for file in files.values()}
    for file in files.values():
        file.chmod(0o644)
        file.unlink() if damage == "missing" else file.write_bytes(b"nonsense")
    first = ingested(repository)
    assert ingested.files("b.missing, b.lines")["a.py"] == (False, 2)
    assert ingested.files("b.missing, b.lines")["b.py"] == (True, 0)
    assert states(ingested) == [("objects missing", 2)]
    assert "b.py is read without content" in caplog.text
    pipeline.compute_all(ingested.engine, first.snapshot_id)

    for file, data in content.items():
        file.write_bytes(data)
    again = ingested(repository)
    assert again.snapshot_id == first.snapshot_id
    assert ingested.files("b.missing, b.language, b.lines") == {
        "a.py": (False, "Python", 2),
        "b.py": (False, "Python", 3),
        "c.h": (False, "C++", 3),
    }
    assert ingested.edges() == {("b.py", "a.py")}
    assert ingested.rows("SELECT lines, missing_blobs FROM snapshots") == [(8, 0)]
    assert count_lines(ingested) == (1, 0)
    assert states(ingested) == [("complete", 0)]
    assert ingested.rows("SELECT path, added_lines FROM file_changes ORDER BY path") == [
        ("a.py", 2),
        ("b.py", 3),
        ("c.h", 3),
    ]
    pipeline.compute_all(ingested.engine, first.snapshot_id)
    assert ingested.rows("SELECT path, functions FROM file_metrics WHERE path = 'b.py'") == [("b.py", 1)]


def test_an_old_blob_is_missing_from_one_commit_only(repository: GitRepository, ingested: Ingested) -> None:
    for n in range(4):
        repository.commit({"a.py": f"x = {n}\n"}, str(n))
    repository.loose("HEAD~2:a.py").unlink()
    ingested(repository)
    assert ingested.rows(
        "SELECT c.subject, c.line_counts, f.kind, f.added_lines FROM commits c "
        "JOIN file_changes f ON f.commit_id = c.id ORDER BY c.id"
    ) == [
        ("0", "complete", "added", 1),
        ("1", "missing", "modified", None),
        ("2", "missing", "modified", None),
        ("3", "complete", "modified", 1),
    ]
    assert states(ingested) == [("objects missing", 0)]


def test_a_clone_without_old_blobs_is_ingested(
    repository: GitRepository, ingested: Ingested, tmp_path: Path
) -> None:
    repository.commit({"a.py": SOURCE, "old.py": "z = 1\n" * 30})
    repository.git("mv", "old.py", "new.py")
    repository.commit({"a.py": SOURCE * 2}, "two")
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial"
    subprocess.run(
        ["git", "clone", "-q", "--filter=blob:none", f"file://{repository.path}", str(clone)], check=True
    )
    ingested(clone)
    assert ingested.files("b.missing") == {"a.py": False, "new.py": False}
    assert ingested.rows(
        "SELECT c.line_counts, f.kind, f.path, f.previous_path FROM commits c "
        "JOIN file_changes f ON f.commit_id = c.id WHERE c.subject = 'two' ORDER BY f.path"
    ) == [("missing", "modified", "a.py", None), ("missing", "renamed", "new.py", "old.py")]
    assert states(ingested) == [("objects missing", 0)]
