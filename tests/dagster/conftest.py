"""No worker processes here: to start them takes longer than what they do."""

import pytest

from tests.worker_processes import in_this_process

__all__ = ["in_this_process"]


@pytest.fixture(autouse=True)
def _no_worker_processes(in_this_process: None) -> None:
    pass
