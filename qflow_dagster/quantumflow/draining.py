"""Draining a table of rows that are to be acted on: batch after batch, until a batch achieves nothing."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

# Batches per call; what is left then is for the next call.
MAX_BATCHES = 50


class RowResult(Protocol):
    """The result of processing one row."""

    @property
    def problem(self) -> str | None:
        """Why the row could not be acted on; None where it was."""
        ...


Result = TypeVar("Result", bound=RowResult)


def drain(
    take_batch: Callable[[], Sequence[Result]], *, max_batches: int = MAX_BATCHES
) -> tuple[list[Result], list[Result]]:
    """Take batches until one achieves nothing; return the rows that succeeded, and the failures of the last batch.

    A row that fails stays where it is and comes again with the next batch, so only the last failures are true.
    """
    succeeded: list[Result] = []
    failed: list[Result] = []
    for _ in range(max_batches):
        batch = take_batch()
        failed = [result for result in batch if result.problem is not None]
        if len(failed) == len(batch):
            break
        succeeded += [result for result in batch if result.problem is None]
    return succeeded, failed
