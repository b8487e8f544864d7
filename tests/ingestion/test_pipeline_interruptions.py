"""Ingestion disturbed: at once with another, killed, hanging, without its objects or its database."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import URL, Engine, text

from qflow_dagster import processes
from qflow_dagster.database import engine_for
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import pipeline, queries, repositories
from tests import forks
from tests.ingestion.conftest import GitRepository, Ingested


def test_a_repository_that_changes_meanwhile_is_ingested_as_it_was(
    repository: GitRepository, ingested: Ingested
) -> None:
    first = repository.commit({"a.py": "x = 1\n", "b.py": "y = 1\n"})
    with ingested.engine.begin() as connection:
        repositories.register(connection, str(repository.path))

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "reading files" and not done:
            repository.git("rm", "--quiet", "b.py")
            repository.commit({"a.py": "x = 2\n", "c.py": "z = 1\n"})

    result = pipeline.ingest(ingested.engine, "project", progress=progress, processes=1)
    assert result.commit_oid == first
    assert set(ingested.files()) == {"a.py", "b.py"}
    ingested(repository)
    assert set(ingested.files()) == {"a.py", "c.py"}


def test_two_ingestions_of_one_repository_take_turns(repository: GitRepository, ingested: Ingested) -> None:
    repository.commit({f"m{n}.py": f"x = {n}\n" for n in range(50)})
    with ingested.engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    results: list[pipeline.SnapshotResult] = []
    threads = [
        threading.Thread(target=lambda: results.append(pipeline.ingest(ingested.engine, "project")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.new for result in results) == [False, False, True]
    assert len({result.snapshot_id for result in results}) == 1


def test_two_repositories_with_the_same_blobs_are_ingested_at_once(
    make_repository: Callable[..., GitRepository], ingested: Ingested
) -> None:
    files = {f"m{n}.py": f"def f{n}():\n    return {n}\n" for n in range(300)}
    names = ["one", "two"]
    for name in names:
        each = make_repository(name)
        each.commit(files)
        with ingested.engine.begin() as connection:
            repositories.register(connection, str(each.path))
    threads = [
        threading.Thread(target=pipeline.ingest, args=(ingested.engine, name), kwargs={"processes": 1})
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ingested.rows("SELECT count(*) FROM blobs") == [(300,)]
    for name in names:
        assert len(ingested.files(name=name)) == 300


def ingest_project(database: URL) -> None:
    pipeline.ingest(engine_for(database), "project", processes=1)


def test_a_killed_ingestion_leaves_no_half_snapshot_and_is_continued(
    repository: GitRepository, ingested: Ingested, database: URL
) -> None:
    source = "".join(f"def f{n}(a, b):\n    return a + b * {n}\n" for n in range(400))
    repository.commit({f"m{n}.py": f"# {n}\n{source}" for n in range(600)})
    with ingested.engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    process = forks.start(ingest_project, database)
    deadline = time.monotonic() + 200
    while ingested.rows("SELECT count(*) FROM blobs") == [(0,)]:
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    with ingested.engine.connect() as connection, pytest.raises(QflowError, match="nothing of 'project'"):
        queries.current_snapshot(connection, "project")
    [(kept,)] = ingested.rows("SELECT count(*) FROM blobs")
    assert 0 < kept < 600
    result = ingested(repository)
    assert result.blobs_read == 600 - kept
    assert len(ingested.files()) == 600


def test_a_blob_that_kills_its_parser_is_stored_with_its_lines(
    repository: GitRepository, ingested: Ingested, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    """The worker really dies, of the signal a crash in native code ends with."""
    monkeypatch.setattr(
        processes,
        "ENTRY",
        "import os; from qflow_dagster import processes; from qflow_dagster.ingestion import extraction; real = extraction.extract\n"
        "def extract(data, language, **options):\n"
        "    if b'poison' in data and options.get('parse_limit'): os.kill(os.getpid(), 11)\n"
        "    return real(data, language, **options)\n"
        "extraction.extract = extract; processes.serve()",
    )
    repository.commit({"good.py": "def f():\n    pass\n", "bad.py": "poison = 1\n", "fine.py": "x = 1\n"})
    ingested(repository)
    assert ingested.files("b.parsed, b.lines") == {
        "good.py": (True, 2),
        "bad.py": (False, 1),
        "fine.py": (True, 1),
    }
    assert "bad.py is read without syntax tree" in caplog.text


def test_a_worker_that_hangs_is_replaced(
    repository: GitRepository, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine needs to start a process, which counts too.
    monkeypatch.setattr(processes, "STALL_SECONDS", 5.0)
    monkeypatch.setattr(
        processes,
        "ENTRY",
        "import time; from qflow_dagster import processes; from qflow_dagster.ingestion import extraction; real = extraction.extract\n"
        "def extract(data, language, **options):\n"
        "    if b'sleepy' in data: time.sleep(600)\n"
        "    return real(data, language, **options)\n"
        "extraction.extract = extract; processes.serve()",
    )
    repository.commit({"good.py": "x = 1\n", "bad.py": "sleepy = 1\n"})
    ingested(repository)
    assert ingested.files("b.binary, b.lines") == {"good.py": (False, 1), "bad.py": (True, 0)}


def test_a_database_that_restarts_meanwhile_costs_a_retry(
    repository: GitRepository, ingested: Ingested
) -> None:
    """All connections are cut while blobs are being written, as a restart does."""
    repository.commit({f"m{n}.py": f"x = {n}\n" for n in range(1_500)})
    cuts = iter([True, True])

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "reading files" and done and next(cuts, False):
            with ingested.engine.begin() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )

    with ingested.engine.begin() as connection:
        repositories.register(connection, str(repository.path))
    pipeline.ingest(ingested.engine, "project", progress=progress, processes=1)
    assert len(ingested.files()) == 1_500


def test_facts_deleted_with_another_repository_meanwhile_are_read_again(
    make_repository: Callable[..., GitRepository], ingested: Ingested, engine: Engine
) -> None:
    one, two = make_repository("one"), make_repository("two")
    one.commit({"shared.py": "x = 1\n"})
    two.commit({"shared.py": "x = 1\n", "own.py": "y = 1\n"})
    ingested(one)
    with engine.begin() as connection:
        repositories.register(connection, str(two.path))
    removals = iter(["one"])

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "publishing" and (name := next(removals, None)):
            repositories.remove(engine, name)

    result = pipeline.ingest(engine, "two", progress=progress, processes=1)
    assert set(ingested.files(name="two")) == {"shared.py", "own.py"}
    assert ingested.files("b.lines", name="two") == {"shared.py": 1, "own.py": 1}
    assert result.blobs_read == 3


def test_a_worker_starts_without_a_database_driver() -> None:
    """It doubles the start, and a reader of hostile bytes has no use for it."""
    check = (
        "import sys; from qflow_dagster import processes; from qflow_dagster.ingestion import workers; from qflow_dagster.ingestion.extraction "
        "import extract; sys.exit(any(name in sys.modules for name in ('sqlalchemy', 'psycopg', 'dagster')))"
    )
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
