"""Checks of the arguments of the core's operations: what the tables cannot hold is refused before any statement.

Belongs here: refusals by type and range, with the argument's name and its rule. Does not belong here: JSON values
(`rows.to_json`), names of queues (`queues`), what a state machine allows (`transitions`).
"""

from collections.abc import Sequence
from typing import Any, NoReturn
from uuid import UUID

from qflow_dagster.errors import UsageError

MAX_INTEGER = 2**31 - 1
# A key is in an index, whose entries hold about 2,700 bytes.
MAX_TEXT_BYTES = 2_000
# Centuries: far from the end of PostgreSQL's calendar, whatever the date.
MAX_SECONDS = 1e10


def check_text(value: object, what: str, *, optional: bool = False, limit: int = MAX_TEXT_BYTES) -> None:
    """Refuse what is not a text of 1 to `limit` bytes; characters that cannot be stored are replaced on their way.

    Raises:
        UsageError: It is not; the message calls it `what`.
    """
    if value is None and optional:
        return
    if not isinstance(value, str) or not value:
        _refuse(value, what, "a text that is not empty")
    elif len(value) > limit // 4 and len(value.encode(errors="replace")) > limit:
        _refuse(value, what, f"at most {limit:,} bytes long")


def check_integer(value: object, what: str, least: int, most: int = MAX_INTEGER) -> None:
    """Refuse what is not an integer from `least` to `most`.

    Raises:
        UsageError: It is not; the message calls it `what`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        _refuse(value, what, f"an integer from {least:,} to {most:,}")


def check_seconds(value: object, what: str, *, optional: bool = False, positive: bool = False) -> None:
    """Refuse what is not a finite number of seconds, from 0 (or above it, if `positive`) to three centuries.

    Raises:
        UsageError: It is not; the message calls it `what`.
    """
    if value is None and optional:
        return
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not 0 <= value <= MAX_SECONDS
        or (positive and not value)
    ):
        _refuse(value, what, f"seconds {'above' if positive else 'from'} 0, up to {MAX_SECONDS:,.0f}")


def check_id(value: object, what: str, *, optional: bool = False) -> None:
    """Refuse what is not the id of a workflow.

    Raises:
        UsageError: It is not; the message calls it `what`.
    """
    if not isinstance(value, UUID) and not (value is None and optional):
        _refuse(value, what, "the id of a workflow (a UUID)")


def check_ids(values: object, what: str) -> None:
    """Refuse what is not a sequence of ids.

    Raises:
        UsageError: It is not; the message calls it `what`.
    """
    for value in sequence(values, what):
        check_id(value, what)


def check_held(items: object, what: str) -> None:
    """Refuse what is not a sequence of workflows as their workers hold them: each with its id and its attempt.

    Raises:
        UsageError: It is not; the message calls it `what`.
    """
    for item in sequence(items, what):
        check_id(getattr(item, "id", None), f"the id of a workflow in {what}")
        check_integer(getattr(item, "attempt", None), f"the attempt of a workflow in {what}", 0)


def sequence(values: object, what: str) -> Sequence[Any]:
    """Return `values`, which must be a sequence other than a text.

    Raises:
        UsageError: They are not; the message calls them `what`.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        _refuse(values, what, "a sequence")
    return values


def pairs(values: object, what: str) -> Sequence[Any]:
    """Return `values`, which must be a sequence of pairs of ids.

    Raises:
        UsageError: They are not; the message calls them `what`.
    """
    for pair in sequence(values, what):
        if len(sequence(pair, f"each of {what}")) != 2:
            _refuse(pair, f"each of {what}", "a pair of ids")
        check_ids(pair, what)
    return values  # type: ignore[return-value]


def _refuse(value: object, what: str, rule: str) -> NoReturn:
    if isinstance(value, str):
        shown = ascii(value[:60]) + "..." * (len(value) > 60)
    elif isinstance(value, int) and value.bit_length() > 64:
        shown = f"an integer of {value.bit_length()} bits"
    else:
        shown = str(value) if isinstance(value, int | float | None) else type(value).__name__
    raise UsageError(f"{what} must be {rule}, not {shown}")
