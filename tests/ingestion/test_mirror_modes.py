"""Nobody else reads a mirror, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from qflow_dagster.ingestion import repositories
from qflow_dagster.settings import settings
from tests.ingestion.conftest import GitRepository, Ingested


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_mirror_is_its_owners_alone_from_the_first_and_after_a_fetch(
    repository: GitRepository, ingested: Ingested
) -> None:
    url = f"file://{repository.path}"
    for content in ("x = 1\n", "x = 2\n"):
        repository.commit({"a.py": content})
        ingested(url)
        mirror = repositories.mirror_folder(url)
        everything = [mirror, *mirror.rglob("*")]
        assert [path for path in everything if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
        outer = [Path(settings().home), mirror.parent]
        assert [path for path in outer if stat.S_IMODE(path.stat().st_mode) & 0o067] == []
