"""Mining without worker processes: starting them takes longer than what they do here."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from qflow_dagster.evolution.mining import mined_history, precision, rule_miner
from tests.ingestion.conftest import make_repository, repository

__all__ = ["make_repository", "repository"]


def _here(
    handler: Callable[[Any, list[Any]], Any], context: Any, batches: Sequence[list[Any]], *_: Any, **__: Any
) -> Iterator[Any]:
    return (handler(context, batch) for batch in batches)


@pytest.fixture(scope="module")
def no_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (mined_history, precision, rule_miner):
            patch.setattr(module, "in_processes", _here)
        yield
