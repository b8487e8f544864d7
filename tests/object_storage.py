"""A real server of S3's protocol on this machine, for tests of what is kept on object storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BUCKET = "qflow"
SECRET = "not-to-be-shown"


@contextmanager
def object_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Serve S3's protocol, tell the environment where, and yield a new bucket (boto3's)."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    storage: Any = boto3.resource("s3")
    bucket = storage.create_bucket(Bucket=BUCKET)
    try:
        yield bucket
    finally:
        # The server's state is that of its process.
        bucket.objects.all().delete()
        bucket.delete()
        server.stop()
