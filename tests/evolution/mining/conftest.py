"""Mining without worker processes: starting them takes longer than what they do here."""

from collections.abc import Iterator

import pytest

from tests.ingestion.conftest import make_repository, repository
from tests.worker_processes import without_worker_processes

__all__ = ["make_repository", "repository"]


@pytest.fixture(scope="module")
def no_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        without_worker_processes(patch)
        yield
