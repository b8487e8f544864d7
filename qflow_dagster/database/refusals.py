"""Storing items together, and one by one where the database refuses the batch.

Belongs here: telling a refusal (the same values can never be stored) from a failure that
passes (the server is away), and keeping a refused item from taking its neighbours with it.
Does not belong here: what becomes of a refused item (its caller counts, reports or answers it).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from qflow_dagster.errors import UsageError

T = TypeVar("T")

# SQLSTATE classes: wrong data, a constraint that does not hold, a value too large for the server.
_REFUSALS = ("22", "23", "54")
# What our own code raises of a value it cannot work with.
_WRONG_VALUES = (UsageError, ValueError, TypeError, ArithmeticError, RecursionError)


def is_refusal(error: BaseException) -> bool:
    """Return whether `error` says that the values can never be stored, however often it is tried."""
    if isinstance(error, DBAPIError):
        return str(getattr(error.orig, "sqlstate", None))[:2] in _REFUSALS
    return isinstance(error, _WRONG_VALUES)


def store_separately(
    connection: Connection, items: Sequence[T], store: Callable[[Sequence[T]], object]
) -> list[tuple[T, Exception]]:
    """Store items in one call of `store` if possible; halve the batch where it is refused.

    Returns:
        The refused items, each with the reason. All others are stored.

    Raises:
        SQLAlchemyError: the database is away or not as it should be; nothing is known to be wrong
            with the items.
    """
    if not items:
        return []
    try:
        with connection.begin_nested():
            store(items)
        return []
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(items) == 1:
            return [(items[0], error)]
    middle = len(items) // 2
    return [
        *store_separately(connection, items[:middle], store),
        *store_separately(connection, items[middle:], store),
    ]
