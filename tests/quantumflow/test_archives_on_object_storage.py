"""Archives on object storage, with a real server of S3's protocol on this machine."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.quantumflow import (
    ArchiveMissingError,
    cancel,
    create_workflow,
    damaged_archives,
    find,
    get_events,
    prune,
    verify_history,
)
from qflow_dagster.quantumflow.archives import archive_folder
from qflow_dagster.settings import settings
from tests.object_storage import BUCKET, SECRET, object_storage


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A new bucket, in which archives are kept while the test runs."""
    with object_storage(monkeypatch) as bucket:
        monkeypatch.setenv("QFLOW_QUANTUMFLOW_ARCHIVE", f"s3://{BUCKET}/history")
        settings.cache_clear()
        yield bucket
    settings.cache_clear()


def ended(connection: Connection) -> UUID:
    id_ = create_workflow(connection, "test.job", {"n": 1}, actor="test")
    cancel(connection, [id_], actor="person")
    return id_


def test_history_is_read_and_verified_from_there(connection: Connection, bucket: Any) -> None:
    id_ = ended(connection)
    before = get_events(connection, id_)
    archive = prune(connection, older_than=0).archive
    [stored] = bucket.objects.all()
    assert archive == f"s3://{BUCKET}/{stored.key}"
    assert find(connection) == []
    assert get_events(connection, id_) == before
    assert verify_history(connection, id_) is None
    assert damaged_archives(connection) == []


def test_what_is_lost_or_altered_there_is_named(connection: Connection, bucket: Any) -> None:
    id_ = ended(connection)
    archive = prune(connection, older_than=0).archive
    [stored] = bucket.objects.all()
    stored.put(Body=stored.get()["Body"].read() + b"!")
    assert damaged_archives(connection) == [f"the archive {archive} was altered"]
    stored.delete()
    assert damaged_archives(connection) == [f"the archive {archive} is not there"]
    with pytest.raises(ArchiveMissingError, match="is not there"):
        get_events(connection, id_)


def test_where_the_bucket_is_missing_nothing_is_deleted_and_no_bucket_is_made(
    connection: Connection, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_QUANTUMFLOW_ARCHIVE", "s3://qflow-archiv/history")
    settings.cache_clear()
    ended(connection)
    with pytest.raises(
        QflowError, match=r"cannot be written to s3://qflow-archiv/history: .*bucket"
    ) as refusal:
        prune(connection, older_than=0)
    assert SECRET not in str(refusal.value)
    assert len(find(connection)) == 1
    assert [each["Name"] for each in bucket.meta.client.list_buckets()["Buckets"]] == [BUCKET]


@pytest.mark.parametrize(
    ("address", "reason"),
    [("nowhere://folder", "nowhere"), ("s3://key:secret@bucket/x", "credentials belong")],
)
def test_a_wrong_address_is_refused(address: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFLOW_QUANTUMFLOW_ARCHIVE", address)
    settings.cache_clear()
    with pytest.raises(UsageError, match=reason) as refusal:
        archive_folder().write("x", b"")
    assert "secret" not in str(refusal.value)
    settings.cache_clear()
