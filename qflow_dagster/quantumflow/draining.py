"""Draining a table: batch after batch of the rows that are to be acted on.

Belongs here: the loop over batches, and doing the work of one claimed row. Does not belong here: claiming
(`transitions`), keeping leases (`recording`).
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow.errors import LeaseLostError
from qflow_dagster.quantumflow.rows import Held
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact

logger = logs.logger(__name__)

# Batches per call; what is left then is for the next call.
MAX_BATCHES = 50
# Characters of a stored error message.
MAX_MESSAGE = 2_000


class RowResult(Hashable, Protocol):
    """The result of processing one row."""

    @property
    def problem(self) -> str | None:
        """Why the row could not be acted on; None where it was."""
        ...


class CreationResult(NamedTuple):
    """What became of one row from which something is created: the new workflow or work item, or the problem."""

    row: UUID
    created: UUID | None
    problem: str | None


Result = TypeVar("Result", bound=RowResult)
Batch = TypeVar("Batch")
T = TypeVar("T")


def batches(take_batch: Callable[[], Batch | None], *, max_batches: int = MAX_BATCHES) -> Iterator[Batch]:
    """Yield batches until one is empty (or 0, if they are counts).

    For rows that leave the table when they are taken: claimed, deleted or moved.
    """
    for _ in range(max_batches):
        batch = take_batch()
        if not batch:
            return
        yield batch


def drain(
    take_batch: Callable[[], Sequence[Result]], *, max_batches: int = MAX_BATCHES
) -> tuple[list[Result], list[Result]]:
    """Take batches until one achieves nothing; return the results of rows that succeeded and that failed.

    For rows that may stay in the table when they fail: such a row comes again with each batch, and its
    failure is returned once.
    """
    succeeded: list[Result] = []
    failed: dict[Result, None] = {}
    for batch in batches(take_batch, max_batches=max_batches):
        failures = [result for result in batch if result.problem is not None]
        failed.update(dict.fromkeys(failures))
        if len(failures) == len(batch):
            break
        succeeded += [result for result in batch if result.problem is None]
    return succeeded, list(failed)


def attempt(
    held: Held, noun: str, do: Callable[[], T], report_failure: Callable[[dict[str, Any]], object]
) -> T | None:
    """Do the work of a claimed row and return its result; None if it failed, which does not stop work on other rows.

    `report_failure` gets the error as it is stored. A row that another worker holds by now is left to it.
    `noun` names the kind of row in messages.
    """
    try:
        try:
            return do()
        except LeaseLostError:
            raise
        except Exception as error:
            if not isinstance(error, QflowError):
                logger.exception("%s %s failed", noun, held.id)
            report_failure({"kind": type(error).__name__, "message": redact(str(error))[:MAX_MESSAGE]})
    except LeaseLostError:
        logger.warning("%s %s is held by another worker by now", noun, held.id)
    return None
