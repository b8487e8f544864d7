"""What the tests of ingestion share: a real repository, one written without git, and them ingested."""

import hashlib
import os
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.ingestion import checkouts, history, pipeline, queries, repositories
from qflow_dagster.settings import settings

ANN, BOB = ("Ann", "ann@example.com"), ("Bob", "bob@example.com")


class GitRepository:
    """A git repository in a folder, written with git itself."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.hours = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str, author: tuple[str, str] = ANN, stdin: bytes = b"") -> str:
        """Run git as `author`; each call is an hour after the one before."""
        self.hours += 1
        date = f"{1_700_000_000 + self.hours * 3600} +0000"
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": author[0],
            "GIT_AUTHOR_EMAIL": author[1],
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": author[0],
            "GIT_COMMITTER_EMAIL": author[1],
            "GIT_COMMITTER_DATE": date,
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=environment, input=stdin, capture_output=True, check=True
        )
        return os.fsdecode(done.stdout).strip()

    def loose(self, revision: str) -> Path:
        """Return the file of a loose object."""
        oid = self.git("rev-parse", revision)
        return self.path / ".git" / "objects" / oid[:2] / oid[2:]

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files into the work tree."""
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(
        self,
        files: Mapping[str, str | bytes] | None = None,
        message: str = "change",
        author: tuple[str, str] = ANN,
    ) -> str:
        """Write files, commit all there is, and return the commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message, author=author)
        return self.git("rev-parse", "HEAD")


class Ingested:
    """Ingesting on a test's database, and what is stored then."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(
        self, repository: GitRepository | Path | str, revision: str = "HEAD"
    ) -> pipeline.SnapshotResult:
        """Register and ingest a repository (code, then history)."""
        location = str(repository.path if isinstance(repository, GitRepository) else repository)
        with self.engine.begin() as connection:
            found = repositories.find_or_register(connection, location)
        result = pipeline.ingest(self.engine, found.name, revision, processes=1)
        history.ingest_history(self.engine, found.id, result.commit_oid)
        return result

    def rows(self, statement: str, **parameters: Any) -> list[tuple]:
        """The rows of a query."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    def files(self, columns: str = "f.kind, b.language", name: str | None = None) -> dict[str, Any]:
        """Columns of the current snapshot's files, by path; a single column is its value alone."""
        with self.engine.connect() as connection:
            name = name or self.rows("SELECT name FROM repositories ORDER BY id LIMIT 1")[0][0]
            snapshot = queries.current_snapshot(connection, name)
            rows = connection.execute(
                text(
                    f"SELECT f.path, {columns} FROM files f LEFT JOIN blobs b ON b.id = f.blob_id "
                    f"WHERE {queries.IN_SNAPSHOT}"
                ),
                snapshot.interval,
            )
            return {row[0]: row[1] if len(row) == 2 else tuple(row[1:]) for row in rows}

    def edges(self) -> set[tuple[str, str | None]]:
        """(source, target) of all current dependencies."""
        return set(
            self.rows("SELECT source_path, target_path FROM dependencies WHERE to_seq IS NULL")  # type: ignore[arg-type]
        )


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[..., GitRepository]:
    """Make an empty repository of that name."""
    return lambda name="project", *options: GitRepository(tmp_path / name, *options)


@pytest.fixture
def repository(make_repository: Callable[..., GitRepository]) -> GitRepository:
    """An empty repository."""
    return make_repository()


@pytest.fixture
def ingested(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ingested:
    """Ingestion into this test's database, with mirrors in its folder."""
    monkeypatch.setenv("QFLOW_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield Ingested(engine)
    settings.cache_clear()


Entry = tuple[str, bytes, str]


class HandMade:
    """A bare repository whose objects are written without git, which would refuse them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", path], check=True)

    def put(self, kind: str, data: bytes) -> str:
        raw = b"%s %d\0%s" % (kind.encode(), len(data), data)
        oid = hashlib.sha1(raw).hexdigest()
        file = self.path / "objects" / oid[:2] / oid[2:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(raw))
        return oid

    def tree(self, *entries: Entry) -> str:
        return self.put(
            "tree",
            b"".join(b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(oid)) for mode, name, oid in entries),
        )

    def commit(self, tree: str, parent: str = "") -> str:
        """Commit a tree, and put the branch there."""
        who = "a <a@b> 1700000000 +0000"
        above = f"parent {parent}\n" if parent else ""
        oid = self.put("commit", f"tree {tree}\n{above}author {who}\ncommitter {who}\n\nx\n".encode())
        (self.path / "refs" / "heads" / "main").write_text(f"{oid}\n")
        return oid

    def commit_names(self, *names: bytes, mode: str = "100644", content: bytes = b"x\n") -> str:
        """Commit files (or links) of these names beside an honest one."""
        blob, honest = self.put("blob", content), self.put("blob", b"y = 1\n")
        return self.commit(self.tree(("100644", b"ok.py", honest), *((mode, name, blob) for name in names)))

    def bomb(self, depth: int, leaf: Entry | None = None) -> str:
        """Commit a tree of 10^depth paths made of `depth` trees (without `leaf`: of folders alone)."""
        entry = leaf or ("40000", b"", self.tree())
        for _ in range(depth):
            oid = self.tree(*((entry[0], b"f%d" % n, entry[2]) for n in range(10)))
            entry = ("40000", b"", oid)
        return self.commit(entry[2])


@pytest.fixture
def made(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "made.git")


@pytest.fixture
def export(tmp_path: Path) -> Callable[[HandMade | GitRepository, str], Path]:
    """Check a commit out and return the folder."""

    def checked_out(repository: HandMade | GitRepository, commit: str) -> Path:
        folder = tmp_path / "outer" / "work"
        folder.mkdir(parents=True)
        with checkouts.scratch(repository.path) as store:
            checkouts.export(store, commit, folder)
        return folder

    return checked_out


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def limited(**values: int) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"QFLOW_INGESTION_{name.upper()}", str(value))
        settings.cache_clear()

    yield limited
    monkeypatch.undo()
    settings.cache_clear()
