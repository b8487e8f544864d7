"""The improvement loop on a small repository, without worker processes."""

from tests.improvement_loop import loop
from tests.ingestion.conftest import ingested, make_repository, repository
from tests.worker_processes import in_this_process

__all__ = ["in_this_process", "ingested", "loop", "make_repository", "repository"]
