"""Repositories on several machines with one database: a URL is mirrored where it is needed, a path has one machine."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import git, history, pipeline, queries, repositories, tables
from qflow_dagster.settings import settings
from tests.ingestion.conftest import GitRepository

Machine = Callable[[str], None]


@pytest.fixture
def on_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Go on as another machine: with its name, and with its own folder for mirrors."""

    def go_on(name: str) -> None:
        monkeypatch.setattr(repositories, "host_name", lambda: name)
        monkeypatch.setattr(settings(), "home", tmp_path / name)

    go_on("a")
    return go_on


def ingest(engine: Engine, name: str) -> None:
    pipeline.ingest(engine, name, processes=1)
    with engine.connect() as connection:
        snapshot = queries.current_snapshot(connection, name)
    history.ingest_history(engine, snapshot.repository_id, snapshot.commit_oid)


def test_a_mirror_is_fetched_where_it_is_missing_or_behind(
    engine: Engine, make_repository: Callable[..., GitRepository], on_machine: Machine, tmp_path: Path
) -> None:
    source = make_repository()
    first = source.commit({"a.py": "x = 1\n"}, "one")
    with engine.begin() as connection:
        name = repositories.register(connection, f"file://{source.path}").name
    ingest(engine, name)

    on_machine("b")
    with engine.connect() as connection:
        mirror = repositories.find(connection, name).objects
    assert mirror.is_relative_to(tmp_path / "b")
    assert git.resolve(mirror, first).oid == first

    # Another machine goes on; this one gets what that has ingested, and nothing sooner.
    second = source.commit({"a.py": "x = 2\n"}, "two")
    on_machine("a")
    ingest(engine, name)
    third = source.commit({"a.py": "x = 3\n"}, "three")
    on_machine("b")
    with engine.connect() as connection:
        mirror = repositories.find(connection, name).objects
        assert git.resolve(mirror, second).oid == second
        before = mirror.stat().st_mtime_ns
        assert repositories.find(connection, name).objects.stat().st_mtime_ns == before
    assert git.resolve(mirror, "HEAD").oid == third, "the fetch brought all there was"


def test_processes_that_need_a_mirror_at_once_fetch_it_in_turns(
    engine: Engine, make_repository: Callable[..., GitRepository], on_machine: Machine
) -> None:
    source = make_repository()
    source.commit({"a.py": "x = 1\n"}, "one")
    with engine.begin() as connection:
        repository = repositories.register(connection, f"file://{source.path}")
    on_machine("b")
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(repository.objects)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4
    assert len(set(folders)) == 1
    assert (folders[0] / "HEAD").exists()


def test_the_mirror_of_a_removed_repository_is_removed_on_every_machine(
    engine: Engine, make_repository: Callable[..., GitRepository], on_machine: Machine
) -> None:
    source, other = make_repository(), make_repository("other")
    for each in (source, other):
        each.commit({"a.py": "x = 1\n"}, "one")
    with engine.begin() as connection:
        repository = repositories.register(connection, f"file://{source.path}")
    on_machine("b")
    mirror = repository.objects
    on_machine("a")
    repositories.remove(engine, repository.name)
    on_machine("b")
    assert mirror.exists()
    old = time.time() - 2 * repositories.UNUSED_SECONDS
    os.utime(mirror, (old, old))
    with engine.begin() as connection:
        kept = repositories.register(connection, f"file://{other.path}").objects
    assert kept.exists()
    assert not mirror.exists()


def test_a_path_of_another_machine_is_named_with_its_machine(
    engine: Engine, make_repository: Callable[..., GitRepository], on_machine: Machine
) -> None:
    source = make_repository()
    source.commit({"a.py": "x = 1\n"}, "one")
    with engine.begin() as connection:
        repository = repositories.register(connection, str(source.path))
    assert (repository.host, repository.objects) == ("a", source.path)
    on_machine("b")
    # A folder that both machines see, such as a shared one, is read.
    assert repository.objects == source.path
    with engine.begin() as connection:
        assert repositories.machines_of(connection, [repository.name]) == {}
    source.path.rename(source.path.with_name("elsewhere"))
    with engine.begin() as connection:
        assert repositories.machines_of(connection, [repository.name]) == {repository.name: "a"}
        # A path that this system does not look at, as one below a folder that is closed to this user.
        with connection.begin_nested() as savepoint:
            connection.execute(update(tables.repositories).values(location=f"/{'x' * 300}"))
            assert repositories.machines_of(connection, [repository.name]) == {repository.name: "a"}
            with pytest.raises(QflowError, match="of the machine a"):
                _ = repositories.find(connection, repository.name).objects
            savepoint.rollback()
    with pytest.raises(
        QflowError, match=r"of the machine a; this is b: work on it there, or register .* by its URL"
    ):
        pipeline.ingest(engine, repository.name)
