"""Requests nobody typed: unknown file types, rules that people keep refusing; and what follows, once."""

import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from qflow_dagster.execution import work_items
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import producers, requests
from tests.ingestion.conftest import GitRepository, Ingested


def snapshot_of(
    engine: Engine, repository: GitRepository, ingested: Ingested, files: dict[str, str]
) -> Snapshot:
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        return current_snapshot(connection, "project")


def test_many_files_of_an_unknown_type_raise_one_request(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {f"data/{n}.zorp": f"something {n}\n" for n in range(7)} | {"few.blub": "x\n", "a.py": "x = 1\n"}
    snapshot = snapshot_of(engine, repository, ingested, files)
    with engine.begin() as connection:
        [raised] = producers.raise_requests(connection, snapshot)
        assert producers.raise_requests(connection, snapshot) == []
        found = requests.show(connection, raised)
    assert (found["kind"], found["about"]) == ("pattern", "pattern:file_type:project:zorp")


def test_a_confirmed_anti_pattern_is_flagged_once_by_many_at_once(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    snapshot_of(engine, repository, ingested, {"a.py": "x = 1\n"})
    with engine.begin() as connection:
        id_ = requests.enqueue(
            connection,
            "anti_pattern",
            {"rule": "python/eval", "refused": 9, "kept": 0},
            source="test",
            repository="project",
        )
        requests.resolve_by_hand(
            connection, id_, {"answer": "often wrong here", "confirmed": True}, actor="ada"
        )
    barrier = threading.Barrier(8)

    def flag(_: int) -> int:
        barrier.wait()
        with engine.begin() as connection:
            return producers.flag(connection)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(flag, range(8))) == 1
    with engine.connect() as connection:
        [item] = work_items.find(connection, level="feature")
    assert item["title"] == "python/eval is often wrong here: narrow it, or switch it off"


def test_what_was_not_confirmed_is_not_flagged(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    snapshot_of(engine, repository, ingested, {"a.py": "x = 1\n"})
    with engine.begin() as connection:
        id_ = requests.enqueue(
            connection,
            "anti_pattern",
            {"rule": "python/eval", "refused": 9, "kept": 0},
            source="test",
            repository="project",
        )
        requests.resolve_by_hand(connection, id_, {"answer": "it is fine", "confirmed": False}, actor="ada")
        assert producers.flag(connection) == 0
