"""What worker processes do, done in the process of a test: to start one takes longer than its work there.

Those that end, hang or attack their worker have their own tests, with real ones (`tests/generation`,
`tests/ingestion`, `tests/test_processes.py`).
"""

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from qflow_dagster import processes


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker processes in this test."""
    without_worker_processes(monkeypatch)


def without_worker_processes(patch: pytest.MonkeyPatch) -> None:
    """Replace `in_processes` in all modules that use it; what would go through a pipe is pickled all the same."""
    modules = [module for name, module in sys.modules.items() if name.startswith("qflow_dagster.")]
    for module in modules:
        if module is not processes and getattr(module, "in_processes", None) is processes.in_processes:
            patch.setattr(module, "in_processes", _in_this_process)


def _in_this_process(
    handler: Callable[[Any, list[Any]], Any], context: Any, batches: Sequence[list[Any]], *_: Any, **__: Any
) -> Iterator[Any]:
    context = _sent(context)
    return (_sent(handler(context, _sent(batch))) for batch in batches)


def _sent(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))
