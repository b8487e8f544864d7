"""From a commit to a snapshot: everything in git is accounted for, once, and costs what changed."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git, queries, repositories
from qflow_dagster.metrics import pipeline as pipeline_of_metrics
from tests.ingestion.conftest import GitRepository, Ingested

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 999\n"


def test_every_kind_of_path_is_accounted_for(repository: GitRepository, ingested: Ingested) -> None:
    other = GitRepository(repository.path.parent / "other")
    other.commit({"a.py": "x = 1\n"})
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(other.path), "sub")
    repository.write(
        {
            "app/main.py": "import os\n\n\ndef main():\n    return os.name\n",
            "run.sh": "#!/bin/sh\necho hi\n",
            "logo.png": b"\x89PNG\0\0",
            "model.bin": LFS,
            "naïve café.txt": "ok\n",
            'with "quotes"\tand tab.py': "y = 2\n",
            "no_extension": "plain words\n",
            "latin.py": "# é\nz = 3\n".encode("latin-1"),
            "empty.py": "",
        }
    )
    raw = os.fsencode(repository.path) + b"/\xff\xfe.py"
    Path(os.fsdecode(raw)).write_bytes(b"w = 4\n")
    (repository.path / "run.sh").chmod(0o755)
    (repository.path / "link").symlink_to("../outside/\u00fc")
    repository.commit()
    result = ingested(repository)
    found = ingested.files("f.kind, b.language, b.binary, b.lines, f.symlink_target, b.lfs_bytes")
    expected = {entry.path for entry in git.list_tree(repository.path, result.commit_oid)}
    assert set(found) == expected
    assert found["app/main.py"] == ("file", "Python", False, 5, None, None)
    assert found["run.sh"][:2] == ("executable", "Shell")
    assert found["logo.png"][2] is True
    assert found["model.bin"][5] == 999
    assert found["naïve café.txt"][3] == 1
    assert found['"with \\"quotes\\"\\tand tab.py"'][1] == "Python"
    assert found['"\\377\\376.py"'][1] == "Python"
    assert found["no_extension"] == ("file", "", False, 1, None, None)
    assert found["latin.py"][3] == 2
    assert found["empty.py"][3] == 0
    assert found["link"] == ("symlink", None, None, None, "../outside/ü", None)
    assert found["sub"][0] == "submodule"
    with ingested.engine.connect() as connection:
        snapshot = queries.current_snapshot(connection, "project")
        assert queries.files_without_facts(connection, snapshot) == []
        assert queries.dangling_dependencies(connection, snapshot) == []
        totals = queries.totals_of_files(connection, snapshot)
        assert totals == {"file_count": snapshot.file_count, "bytes": snapshot.bytes, "lines": snapshot.lines}


def test_a_new_commit_costs_what_changed(repository: GitRepository, ingested: Ingested) -> None:
    repository.commit({f"m{n}.py": f"x = {n}\n" for n in range(30)})
    first = ingested(repository)
    assert (first.paths_changed, first.blobs_read, first.new) == (30, 30, True)
    repository.commit({"m3.py": "x = 'changed'\n"})
    second = ingested(repository)
    assert (second.paths_changed, second.blobs_read) == (1, 1)
    assert ingested.files("b.lines").keys() == {f"m{n}.py" for n in range(30)}
    # One closed interval: the other 29 rows are those of the first snapshot.
    assert ingested.rows("SELECT count(*) FROM files") == [(31,)]
    again = ingested(repository)
    assert (again.new, again.snapshot_id, again.blobs_read) == (False, second.snapshot_id, 0)


def test_added_removed_renamed_and_retyped_paths(repository: GitRepository, ingested: Ingested) -> None:
    repository.commit({"a.py": "a = 1\n", "b.py": "b = 1\n", "c.py": "c = 1\n", "d": "text\n"})
    ingested(repository)
    repository.git("mv", "a.py", "moved.py")
    (repository.path / "b.py").unlink()
    (repository.path / "c.py").chmod(0o755)
    (repository.path / "d").unlink()
    (repository.path / "d").symlink_to("c.py")
    repository.commit({"e.py": "e = 1\n"})
    result = ingested(repository)
    assert ingested.files("f.kind") == {
        "moved.py": "file",
        "c.py": "executable",
        "d": "symlink",
        "e.py": "file",
    }
    assert result.blobs_read == 1


def test_facts_are_shared_by_commits_and_repositories(
    make_repository: Callable[..., GitRepository], ingested: Ingested
) -> None:
    one, two = make_repository("one"), make_repository("two")
    for each in (one, two):
        each.commit({"same.py": "def f():\n    pass\n", "copy.py": "def f():\n    pass\n"})
    assert ingested(one).blobs_read == 1
    assert ingested(two).blobs_read == 0
    assert ingested.rows("SELECT count(*) FROM blobs") == [(1,)]


def test_the_same_bytes_as_another_language_are_other_facts(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "x = 1\n", "a.js": "x = 1\n"})
    assert ingested(repository).blobs_read == 2
    assert ingested.files("b.language") == {"a.py": "Python", "a.js": "JavaScript"}


def test_an_older_revision_can_be_ingested_and_readers_see_it(
    repository: GitRepository, ingested: Ingested
) -> None:
    first = repository.commit({"a.py": "x = 1\n"})
    repository.commit({"b.py": "y = 1\n"})
    ingested(repository)
    assert ingested(repository, first).commit_oid == first
    assert set(ingested.files()) == {"a.py"}
    assert ingested(repository).new is False
    assert set(ingested.files()) == {"a.py", "b.py"}


def test_a_branch_that_was_rewritten_is_ingested_like_any_other(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "x = 1\n"})
    repository.commit({"b.py": "y = 1\n"})
    ingested(repository)
    repository.git("checkout", "--quiet", "--orphan", "fresh")
    repository.git("rm", "-rf", "--quiet", ".")
    repository.commit({"c.py": "z = 1\n"})
    repository.git("branch", "-D", "main")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    ingested(repository)
    assert set(ingested.files()) == {"c.py"}
    assert ingested.rows("SELECT count(*) FILTER (WHERE reachable), count(*) FROM commits") == [(1, 3)]


def test_imports_are_resolved_again_when_paths_come_and_go(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "import b\nimport os\n"})
    ingested(repository)
    assert ingested.edges() == {("a.py", None)}
    repository.commit({"b.py": "x = 1\n"})
    ingested(repository)
    assert ingested.edges() == {("a.py", "b.py"), ("a.py", None)}
    (repository.path / "b.py").unlink()
    repository.commit()
    ingested(repository)
    assert ingested.edges() == {("a.py", None)}


@pytest.mark.parametrize("options", [["--object-format=sha256"], []])
def test_object_formats(
    make_repository: Callable[..., GitRepository], ingested: Ingested, options: list[str]
) -> None:
    repository = make_repository("format", *options)
    oid = repository.commit({"a.py": "x = 1\n"})
    assert ingested(repository).commit_oid == oid
    assert len(oid) == (64 if options else 40)
    assert ingested.rows("SELECT object_format FROM repositories") == [("sha256" if options else "sha1",)]


def test_a_shallow_clone_is_ingested_with_the_history_it_has(
    repository: GitRepository, ingested: Ingested, tmp_path: Path
) -> None:
    for n in range(5):
        repository.commit({"a.py": f"x = {n}\n"})
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=2", f"file://{repository.path}", str(tmp_path / "shallow")],
        check=True,
    )
    ingested(tmp_path / "shallow")
    assert set(ingested.files()) == {"a.py"}
    assert ingested.rows("SELECT count(*) FROM commits") == [(2,)]


def test_a_repository_without_commits_is_refused_by_name(
    repository: GitRepository, ingested: Ingested
) -> None:
    with pytest.raises(QflowError, match="project has no commits yet; commit something first"):
        ingested(repository)
    repository.commit({"a.py": "x = 1\n"})
    assert ingested(repository).new


def test_a_commit_without_files_is_a_snapshot_without_files(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit()
    ingested(repository)
    assert ingested.files() == {}


def test_the_work_tree_is_not_looked_at(repository: GitRepository, ingested: Ingested) -> None:
    repository.commit({"a.py": "x = 1\n"})
    repository.write({"a.py": "changed = True\n", "untracked.py": "y = 1\n"})
    ingested(repository)
    assert set(ingested.files()) == {"a.py"}


def test_removing_a_repository_removes_what_only_it_had(
    make_repository: Callable[..., GitRepository], ingested: Ingested
) -> None:
    one, two = make_repository("one"), make_repository("two")
    one.commit({"shared.py": "x = 1\n", "own.py": "y = 1\n"})
    two.commit({"shared.py": "x = 1\n"})
    ingested(one)
    ingested(two)
    repositories.remove(ingested.engine, "one")
    assert ingested.rows("SELECT name FROM repositories") == [("two",)]
    assert ingested.rows("SELECT count(*) FROM blobs") == [(1,)]
    for table in ("commits", "dependencies", "snapshots"):
        assert ingested.rows(
            f"SELECT count(*) FROM {table} JOIN repositories r ON r.id = repository_id WHERE r.name <> 'two'"
        ) == [(0,)]
    assert set(ingested.files()) == {"shared.py"}


def test_a_path_of_4_kb_is_ingested_with_a_hash_in_its_middle(
    repository: GitRepository, ingested: Ingested
) -> None:
    names = ["/".join(f"{letter * 200}" for letter in "abcdefghijklmnopqrs") + f"/{n}.py" for n in (1, 2)]
    lines = "".join(f"M 100644 inline {name}\ndata 6\nx = 1\n\n" for name in [*names, "ok.py"])
    stream = f"commit refs/heads/main\ncommitter Ann <a@x> 1700000000 +0000\ndata 1\nx\n{lines}"
    repository.git("fast-import", "--quiet", stdin=stream.encode())
    ingested(repository)
    paths = sorted(ingested.files("b.language"))
    assert paths[2] == "ok.py"
    assert {len(path) for path in paths[:2]} == {1_066}
    assert len(set(paths)) == 3
    assert {row[0] for row in ingested.rows("SELECT path FROM file_changes")} == set(paths)
    assert set(ingested.files("b.language").values()) == {"Python"}
    pipeline_of_metrics.compute_all(ingested.engine, ingested.rows("SELECT id FROM snapshots")[0][0])
    assert ingested.rows("SELECT count(*) FROM file_metrics") == [(3,)]


def test_imports_of_unchanged_files_follow_a_declaration(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "lib/app.ex": "defmodule App do\n  alias App.Net.Socket\nend\n",
            "lib/one.ex": "defmodule App.Net do\n  defmodule Socket do\n  end\nend\n",
            "lib/two.ex": "defmodule App.Other do\nend\n",
        }
    )
    ingested(repository)
    assert ingested.edges() == {("lib/app.ex", "lib/one.ex")}
    repository.commit(
        {
            "lib/one.ex": "defmodule App.Net do\nend\n",
            "lib/two.ex": "defmodule App.Net.Socket do\nend\n",
        }
    )
    ingested(repository)
    assert ingested.edges() == {("lib/app.ex", "lib/two.ex")}


def test_imports_of_unchanged_files_follow_a_constant_and_a_macro(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "app/Main.kt": "package app\n\nimport net.LIMIT\n",
            "net/A.kt": "package net\n\nval LIMIT = 3\n",
            "net/B.kt": "package net\n\nval OTHER = 3\n",
            "Cargo.toml": '[package]\nname = "net"\n',
            "src/lib.rs": "",
            "src/a.rs": "use crate::show;\n",
            "src/b.rs": "#[macro_export]\nmacro_rules! show { () => {} }\n",
        }
    )
    ingested(repository)
    assert ingested.edges() == {("app/Main.kt", "net/A.kt"), ("src/a.rs", "src/b.rs")}
    repository.commit(
        {"net/A.kt": "package net\n\nval NEW = 3\n", "net/B.kt": "package net\n\nval LIMIT = 3\n"}
    )
    repository.commit({"src/b.rs": "", "src/c.rs": "macro_rules! show { () => {} }\n"})
    ingested(repository)
    assert ingested.edges() == {("app/Main.kt", "net/B.kt"), ("src/a.rs", "src/c.rs")}
