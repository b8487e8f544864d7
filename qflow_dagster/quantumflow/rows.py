"""The values that cross the core's boundary: workflows, what creates one, events, ids, JSON.

Belongs here: plain data and its conversion. Does not belong here: any statement.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, literal
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.storable import is_storable_json, storable

# Anything json.dumps takes.
Json = Any
# What one statement takes, in characters; PostgreSQL's own limit is 256 MB, which it finds after minutes.
MAX_JSON = 200_000_000

_RANDOM_BITS = 74
_last_uuid7 = 0
_uuid7_lock = threading.Lock()


def uuid7() -> UUID:
    """Return a version 7 UUID (RFC 9562, section 5.7), greater than every one this process made before."""
    global _last_uuid7
    bits = int.from_bytes(os.urandom(10)) >> 6
    with _uuid7_lock:
        number = (time.time_ns() // 1_000_000) << _RANDOM_BITS | bits
        if number <= _last_uuid7:
            # Within a millisecond, count up (section 6.2, method 2) by a random step: a forked
            # process counts on from the same number.
            number = _last_uuid7 + 1 + (bits & 0xFFFFFFFF)
        _last_uuid7 = number
    high, low = number >> 62, number & ((1 << 62) - 1)
    return UUID(int=(high >> 12) << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low)


def uuid7s(count: int) -> list[UUID]:
    """`count` version 7 UUIDs, ascending."""
    return [uuid7() for _ in range(count)]


class Held(Protocol):
    """A workflow as its worker holds it: a claimed `Workflow`, or a `Lease` that came back from outside."""

    @property
    def id(self) -> UUID:
        """The workflow."""
        ...

    @property
    def attempt(self) -> int:
        """The attempt the holder's claim began: it fences late reports off."""
        ...


class Lease(NamedTuple):
    """The handle with which a worker outside this process reports on its work."""

    id: UUID
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWorkflow:
    """The parameters of a new workflow. Times are seconds from now by the database's clock."""

    type: str
    payload: Json = None
    # Unique per type: a second creation finds the first workflow instead.
    key: str | None = None
    # Whose turn it takes; for types with `Fairness`, which need it.
    fairness_key: str | None = None
    # Higher is claimed first.
    priority: int = 0
    max_attempts: int | None = None
    # Not claimed before that many seconds.
    delay: float = 0.0
    # Expires after that many seconds, unless its machine moved it on.
    ttl: float | None = None
    parent_id: UUID | None = None
    run_id: str | None = None
    # Not claimed before all of these completed; others of the same call may be among them.
    depends_on: Sequence[UUID] = ()
    id: UUID = field(default_factory=uuid7)


class Workflow(NamedTuple):
    """One row of `workflows`, as read."""

    id: UUID
    type: str
    key: str | None
    status: str
    priority: int
    payload: Json
    result: Json
    error: Json
    attempt: int
    max_attempts: int
    available_at: datetime
    lease_owner: str | None
    lease_expires_at: datetime | None
    expires_at: datetime | None
    parent_id: UUID | None
    run_id: str | None
    remaining_dependencies: int
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class Event(NamedTuple):
    """One row of a workflow's history."""

    workflow_id: UUID
    seq: int
    from_status: str | None
    to_status: str
    attempt: int
    actor: str
    data: Json
    run_id: str | None
    at: datetime
    prev_hash: bytes
    hash: bytes


def column_list(row_type: type[Workflow] | type[Event], alias: str) -> str:
    """Return the columns of a row type for a SELECT, in its order, each with its table's alias."""
    return ", ".join(f"{alias}.{name}" for name in row_type._fields)


def to_json(
    value: Json, what: str, *, exact: bool = False, default: Callable[[Any], Any] | None = None
) -> str:
    """`value` as JSON text that jsonb takes; what jsonb cannot hold is replaced, as `storable` says.

    Args:
        value: what to encode.
        what: its name in messages.
        exact: refuse what would have to be replaced: where the value is signed or approved.
        default: makes something that JSON has of what it has not, as of `json.dumps`.

    Raises:
        UsageError: it is not JSON; or it cannot be held as it is, and has to be.
    """
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False, default=default)
        if len(encoded) > MAX_JSON:
            raise UsageError(
                f"{what} cannot be stored: {len(encoded):,} characters of JSON, over {MAX_JSON:,}"
            )
        if is_storable_json(encoded):
            return encoded
        problem = "it holds NUL, half a surrogate pair, or nests too deeply"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    except TypeError as error:
        raise UsageError(f"{what} cannot be stored as JSON: {error}") from None
    if exact:
        raise UsageError(f"{what} cannot be stored as JSON: {problem}")
    try:
        return json.dumps(storable(value), allow_nan=False, ensure_ascii=False, default=default)
    except TypeError as error:
        raise UsageError(f"{what} cannot be stored as JSON: {error}") from None


def to_jsonb(value: Json, what: str, *, default: Callable[[Any], Any] | None = None) -> ColumnElement[Any]:
    """Return `value` as a parameter for a jsonb column in a SQLAlchemy Core statement; see `to_json`."""
    return cast(literal(to_json(value, what, default=default), Text), JSONB)


def distinct(ids: Iterable[UUID]) -> list[UUID]:
    """Return the ids in their order, each once."""
    return list(dict.fromkeys(ids))
