"""A small project that questions are asked about, ingested in the process of the test."""

import pytest

from tests.ingestion.conftest import ingested, make_repository, repository
from tests.worker_processes import in_this_process

__all__ = ["in_this_process", "ingested", "make_repository", "repository"]


@pytest.fixture(autouse=True)
def _no_worker_processes(in_this_process: None) -> None:
    pass
