"""The improvement loop on a small repository, without worker processes, and what it did to its branches."""

from tests.improvement_loop import Loop, loop
from tests.ingestion.conftest import ingested, make_repository, repository
from tests.worker_processes import in_this_process

__all__ = ["in_this_process", "ingested", "loop", "make_repository", "repository"]


def branches(loop: Loop) -> list[str]:
    listing = loop.repository.git("for-each-ref", "--format=%(refname:short)", "refs/heads/qflow")
    return listing.split()


def untouched(loop: Loop, head: str) -> None:
    """The user's branch and work tree are as they were."""
    assert loop.repository.git("rev-parse", "HEAD") == head
    assert loop.repository.git("status", "--porcelain") == ""
    assert loop.repository.git("symbolic-ref", "HEAD") == "refs/heads/main"
