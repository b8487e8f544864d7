"""Storing of what programs report over HTTP, whatever its format: limits, encodings, and batches of requests.

Does not belong here: the formats (`sentry_events`, `otlp_records`), their endpoints (`sentry`, `otlp`), encodings of
bodies (`encodings`), grouping (`infrastructure`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from qflow_dagster.database.refusals import store_separately
from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, Success, track_errors, track_successes
from qflow_dagster.infrastructure.intake_counts import (
    CheckIn,
    Discarded,
    Sessions,
    count_discarded,
    count_sessions,
    receive_check_ins,
)
from qflow_dagster.safety import logs
from qflow_dagster.web.encodings import EncodingError, TooLargeBodyError, decode

logger = logs.logger(__name__)

# Attachments may be large; they are ignored, and must not refuse the event beside them.
MAX_BODY_BYTES = 20_000_000
# Of larger bodies, only so many are in memory at once.
LARGE_BYTES, LARGE_BODIES = 2_000_000, 4
# Envelopes that may wait to be stored; senders of more are requested to wait.
MAX_WAITING = 2_000
# After which a sender may try again: too many others wait; the database is away.
BUSY_SECONDS, AWAY_SECONDS = 10, 5
SEND_LESS = "send fewer or smaller items in a request; the same one will be refused again"
# What the lists of an envelope are stored by.
STORES: dict[str, Callable[[Connection, list[Any]], None]] = {
    "occurrences": track_errors,
    "successes": track_successes,
    "sessions": count_sessions,
    "check_ins": receive_check_ins,
    "discarded": count_discarded,
}


class InvalidEnvelopeError(QflowError):
    """The request body is not a valid envelope."""


class TooLargeError(InvalidEnvelopeError):
    """The request body is too large."""


@dataclass
class Envelope:
    """The relevant content of an envelope."""

    event_id: str | None = None
    occurrences: list[Occurrence] = field(default_factory=list)
    successes: list[Success] = field(default_factory=list)
    sessions: list[Sessions] = field(default_factory=list)
    check_ins: list[CheckIn] = field(default_factory=list)
    discarded: list[Discarded] = field(default_factory=list)
    # Problems of invalid items; the other items are kept.
    problems: list[InvalidEnvelopeError] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Items that can be stored."""
        return sum(len(getattr(self, name)) for name in STORES)


class BusyError(QflowError):
    """Too many envelopes wait to be stored."""


class RefusedError(QflowError):
    """A report was not stored; says the status of the response and, if it may be sent again, when."""

    def __init__(self, status: int, message: str, wait: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        # As HTTP names it: seconds until the sender may try again.
        self.headers = {} if wait is None else {"Retry-After": str(wait)}


class Intake:
    """Store the items of concurrent requests in a transaction, and respond when they are stored."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: list[tuple[Envelope, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._large = asyncio.Semaphore(LARGE_BODIES)

    async def receive(self, request: Request, read: Callable[[bytes], Envelope]) -> Envelope:
        """Read the body of a request by `read`, store what it reports, and return it.

        Raises:
            RefusedError: Nothing of it was stored.
        """
        body = bytearray()
        chunks = request.stream()
        async for chunk in chunks:
            body += chunk
            if len(body) > LARGE_BYTES:
                async with self._large:
                    return await self._receive(request, body, chunks, read)
        return await self._receive(request, body, chunks, read)

    async def _receive(
        self,
        request: Request,
        body: bytearray,
        rest: AsyncIterator[bytes],
        read: Callable[[bytes], Envelope],
    ) -> Envelope:
        async for chunk in rest:
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise RefusedError(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes: {SEND_LESS}")
        encoding = request.headers.get("Content-Encoding", "")
        try:
            # Not in the event loop, which a large body would block.
            envelope = await run_in_threadpool(_read, bytes(body), encoding, read)
            await self.store(envelope)
        except TooLargeError as error:
            raise RefusedError(413, f"{error}: {SEND_LESS}") from None
        except InvalidEnvelopeError as error:
            raise RefusedError(400, str(error)) from None
        except BusyError as error:
            raise RefusedError(429, f"{error}, send it again", BUSY_SECONDS) from None
        except (SQLAlchemyError, QflowError):
            raise RefusedError(503, "not stored, send it again", AWAY_SECONDS) from None
        return envelope

    async def store(self, envelope: Envelope) -> None:
        """Return when the envelope is stored, without items that can never be stored.

        Raises:
            BusyError: Too many others wait; the sender has to send it again later.
            InvalidEnvelopeError: None of its items can ever be stored.
            SQLAlchemyError: It could not be stored; the sender has to send it again.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} envelopes wait already")
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((envelope, stored))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await stored

    async def _write(self) -> None:
        """Write batches in a loop; requests during a write form the next batch, so batches grow with the load."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            envelopes = [envelope for envelope, _ in batch]
            problems: list[Exception | None]
            try:
                problems = await run_in_threadpool(self._write_batch, envelopes)
            except Exception as error:
                # On any error, waiting requests get a response, and the next batch is written.
                problems = [error] * len(batch)
            for problem, (_, stored) in zip(problems, batch, strict=True):
                if stored.done():
                    continue
                if problem is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(problem)

    def _write_batch(self, envelopes: list[Envelope]) -> list[Exception | None]:
        """Store all valid items; return for each envelope the error if it had none, else None."""
        refused = [0] * len(envelopes)
        with self.engine.begin() as connection:
            for name, store in STORES.items():
                items = [
                    (owner, item)
                    for owner, envelope in enumerate(envelopes)
                    for item in getattr(envelope, name)
                ]
                for (owner, _), problem in store_separately(
                    connection, items, partial(_store, connection, store)
                ):
                    refused[owner] += 1
                    logger.warning("an item of an envelope can never be stored: %s", type(problem).__name__)
        return [
            InvalidEnvelopeError("what it holds cannot be stored")
            if count and count == envelope.kept
            else None
            for count, envelope in zip(refused, envelopes, strict=True)
        ]


def _store(
    connection: Connection, store: Callable[[Connection, list[Any]], None], items: Sequence[tuple[int, Any]]
) -> None:
    store(connection, [item for _, item in items])


def _read(body: bytes, encoding: str, read: Callable[[bytes], Envelope]) -> Envelope:
    try:
        return read(decode(body, encoding, MAX_BODY_BYTES))
    except EncodingError as error:
        raise InvalidEnvelopeError(str(error)) from None
    except TooLargeBodyError as error:
        raise TooLargeError(str(error)) from None
