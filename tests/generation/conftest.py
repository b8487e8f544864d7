"""The improvement loop on a small repository, with worker processes: what ends or hangs them is tried here."""

import pytest
from sqlalchemy import Engine

from tests.improvement_loop import Loop
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]


@pytest.fixture
def loop(engine: Engine, repository: GitRepository, ingested: Ingested) -> Loop:
    return Loop(engine, repository, ingested)
