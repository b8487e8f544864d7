"""An approval is evidence: after its workflow was archived, everything reads as before."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import Engine

from qflow_dagster.approvals import arbiter, authorization, lists, records
from qflow_dagster.quantumflow import ArchiveMissingError, prune, verify_history
from qflow_dagster.settings import settings
from tests import decisions
from tests.approvals.conftest import PATCH, approved, ask


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "home", tmp_path)


@pytest.fixture
def ended(engine: Engine) -> dict[str, UUID]:
    """An approval in each final state."""
    used, token = approved(engine)
    with engine.begin() as connection:
        authorization.authorize_edit(connection, token, "src/a.py", PATCH, actor="deployer", run_id="run-7")
    with engine.begin() as connection:
        denied = ask(connection)
        decisions.deny(connection, denied, actor="ada", comment="not now")
        revoked = ask(connection)
        digest = records.show(connection, revoked)["digest"]
        arbiter.revoke(connection, revoked, actor="bot", reason="not needed", digest=digest)
    return {"consumed": used, "denied": denied, "revoked": revoked}


def everything(engine: Engine, ids: dict[str, UUID]) -> dict[str, Any]:
    with engine.connect() as connection:
        return {
            "shown": [records.show(connection, id_) for id_ in ids.values()],
            "histories": [records.approval_history(connection, id_) for id_ in ids.values()],
            "listed": lists.find(connection),
            "of a kind": lists.find(connection, lists.Filter(kind="edit")),
            "by status": {
                status: lists.find(connection, lists.Filter(status=status)) for status in lists.STATUSES
            },
            "csv": records.as_csv(records.export(connection)),
            "verified": [verify_history(connection, id_) for id_ in ids.values()],
            "disagreements": records.disagreements(connection),
        }


def archive(engine: Engine) -> Path:
    with engine.begin() as connection:
        written = prune(connection, older_than=0).archive
    assert written is not None
    return Path(written)


def test_whoever_reads_it_sees_no_difference(engine: Engine, ended: dict[str, UUID]) -> None:
    before = everything(engine, ended)
    archive(engine)
    assert everything(engine, ended) == before
    assert before["shown"][0]["status"] == "consumed"
    assert [entry["event"] for entry in before["histories"][0]] == [
        "created",
        "requested",
        "approve",
        "consumed",
    ]
    assert before["histories"][0][-1]["run_id"] == "run-7"
    assert [len(rows) for rows in before["by status"].values()] == [0, 0, 1, 1, 0, 1]


def test_an_altered_archive_is_found_and_a_missing_one_is_named(
    engine: Engine, ended: dict[str, UUID]
) -> None:
    path = archive(engine)
    kept = path.read_bytes()
    path.write_bytes(kept[: len(kept) // 2])
    with engine.connect() as connection:
        broken = verify_history(connection, ended["denied"])
        assert broken is not None
        assert broken.reason == f"the archive {path} was altered"
        with pytest.raises(ArchiveMissingError, match=f"the archive {path} was altered"):
            records.approval_history(connection, ended["denied"])
        assert records.show(connection, ended["denied"])["comments"] == []
    path.rename(path.with_name("elsewhere"))
    with engine.connect() as connection:
        with pytest.raises(ArchiveMissingError, match=str(path)):
            records.approval_history(connection, ended["denied"])
        # What the tables hold is still exported.
        exported = {row["id"]: row for row in records.export(connection)}
    assert exported[ended["denied"]]["status"] == "denied"
    assert "is not there" in exported[ended["denied"]]["problem"]


def test_another_actor_written_into_an_archive_is_not_shown(engine: Engine, ended: dict[str, UUID]) -> None:
    path = archive(engine)
    table = parquet.read_table(path)
    rows = table.to_pylist()
    for event in (event for row in rows for event in row["events"]):
        event["actor"] = "mallory"
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    with engine.connect() as connection:
        with pytest.raises(ArchiveMissingError, match="was altered"):
            records.approval_history(connection, ended["denied"])
        assert all(
            row["history"] == [] and "was altered" in row["problem"] for row in records.export(connection)
        )
