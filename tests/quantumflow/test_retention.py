"""Retention: what ended long ago moves to archives, and stays provable."""

import json
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import (
    cancel,
    checkpoint,
    claim,
    complete,
    create_workflow,
    damaged_archives,
    fail,
    find,
    prune,
    retry,
    verify_history,
)
from qflow_dagster.quantumflow.archives import ArchiveFolder


@pytest.fixture
def archives(tmp_path: Path) -> ArchiveFolder:
    return ArchiveFolder(str(tmp_path / "archive"))


def test_what_ended_is_archived_with_its_history_and_history_still_verifies(
    connection: Connection, archives: ArchiveFolder
) -> None:
    done = create_workflow(connection, "test.job", {"é": [1, None]}, actor="test", key="k")
    complete(connection, claim(connection, "test.job", worker="w"), [{"n": 1}])
    running = create_workflow(connection, "test.job", actor="test")
    checkpoint(connection)
    assert prune(connection, folder=archives, older_than=3600).workflows == 0
    pruned = prune(connection, folder=archives, older_than=0)
    assert (pruned.workflows, pruned.events) == (1, 3)
    assert pruned.archive is not None
    [row] = pd.read_parquet(pruned.archive).to_dict("records")
    assert (row["id"], row["status"], row["key"]) == (str(done), "completed", "k")
    assert json.loads(row["payload"]) == {"é": [1, None]}
    assert [event["to_status"] for event in row["events"]] == ["pending", "running", "completed"]
    assert [w.id for w in find(connection)] == [running]
    assert verify_history(connection) is None
    assert damaged_archives(connection, archives) == []


def test_pruning_goes_in_steps_and_then_finds_nothing(
    connection: Connection, archives: ArchiveFolder
) -> None:
    ids = [create_workflow(connection, "test.job", actor="test") for _ in range(5)]
    cancel(connection, ids, actor="person")
    numbers = [prune(connection, folder=archives, older_than=0, limit=2).workflows for _ in range(4)]
    assert numbers == [2, 2, 1, 0]
    assert len(list(Path(archives.address).iterdir())) == 3
    assert verify_history(connection) is None


def test_what_something_unfinished_depends_on_is_kept(
    connection: Connection, archives: ArchiveFolder
) -> None:
    dead = create_workflow(connection, "test.job", actor="test", max_attempts=1)
    create_workflow(connection, "test.job", actor="test", depends_on=[dead])
    fail(connection, claim(connection, "test.job", worker="w"), ["x"])
    assert prune(connection, folder=archives, older_than=0).workflows == 0
    retry(connection, [dead], actor="person")
    complete(connection, claim(connection, "test.job", worker="w"))
    complete(connection, claim(connection, "test.job", worker="w"))
    assert prune(connection, folder=archives, older_than=0).workflows == 2


def test_an_archive_that_is_lost_or_altered_is_named(connection: Connection, archives: ArchiveFolder) -> None:
    cancel(connection, [create_workflow(connection, "test.job", actor="test")], actor="person")
    archive = prune(connection, folder=archives, older_than=0).archive
    assert archive is not None
    file = Path(archive)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert damaged_archives(connection, archives) == [f"the archive {archive} was altered"]
    file.unlink()
    assert damaged_archives(connection, archives) == [f"the archive {archive} is not there"]


def test_a_pruned_workflow_put_back_is_no_part_of_history(
    connection: Connection, archives: ArchiveFolder
) -> None:
    id_ = create_workflow(connection, "test.job", actor="test")
    cancel(connection, [id_], actor="person")
    prune(connection, folder=archives, older_than=0)
    connection.execute(
        text(
            "INSERT INTO workflow_events VALUES (:id, 1, NULL, 'pending', 0, 'x', NULL, NULL, now(), '', 'h')"
        ),
        {"id": id_},
    )
    assert verify_history(connection) is not None


def test_where_no_archive_can_be_written_nothing_is_deleted(connection: Connection, tmp_path: Path) -> None:
    cancel(connection, [create_workflow(connection, "test.job", actor="test")], actor="person")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(QflowError, match="cannot be written to"):
        prune(connection, folder=ArchiveFolder(str(blocked)), older_than=0)
    assert len(find(connection)) == 1
    assert verify_history(connection) is None
