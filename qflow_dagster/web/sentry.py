"""Errors from any Sentry SDK: the endpoints, and storing what arrives.

A program sets its DSN to ``http://KEY@HOST:PORT/1`` and needs nothing else. Does not belong here: the formats
(`sentry_events`), encodings of bodies (`encodings`), grouping (`infrastructure`).
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.database.refusals import store_separately
from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.error_rate_tracker import track_errors, track_successes
from qflow_dagster.infrastructure.intake_counts import count_discarded, count_sessions, receive_check_ins
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings
from qflow_dagster.web.encodings import EncodingError, TooLargeBodyError, decode, decode_legacy
from qflow_dagster.web.sentry_events import (
    Envelope,
    InvalidEnvelopeError,
    TooLargeError,
    parse_envelope,
    parse_event,
)

logger = logs.logger(__name__)

# Attachments may be large; they are ignored, and must not refuse the event beside them.
MAX_ENVELOPE_BYTES = 20_000_000
# Of larger bodies, only so many are in memory at once.
LARGE_BYTES, LARGE_BODIES = 2_000_000, 4
# Envelopes that may wait to be stored; senders of more are requested to wait.
MAX_WAITING, WAIT_SECONDS = 2_000, "10"
# What the lists of an envelope are stored by.
STORES: dict[str, Callable[[Connection, list[Any]], None]] = {
    "occurrences": track_errors,
    "successes": track_successes,
    "sessions": count_sessions,
    "check_ins": receive_check_ins,
    "discarded": count_discarded,
}


class BusyError(QflowError):
    """Too many envelopes wait to be stored."""


class Intake:
    """Store the items of concurrent requests in a transaction, and respond when they are stored."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: list[tuple[Envelope, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

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


class Sentry:
    """The endpoints for Sentry SDKs."""

    def __init__(self, engine: Engine, *, key_needed: bool) -> None:
        self.intake = Intake(engine)
        self.key_needed = key_needed
        self._large = asyncio.Semaphore(LARGE_BODIES)

    async def envelope(self, request: Request) -> Response:
        """Receive an envelope (`/api/N/envelope/`), or a bare event (`/api/N/store/`)."""
        if not self._may(request):
            return JSONResponse({"detail": "unknown key: see QFLOW_ERRORS_SENTRY_KEY"}, 403)
        body = bytearray()
        chunks = request.stream()
        async for chunk in chunks:
            body += chunk
            if len(body) > LARGE_BYTES:
                async with self._large:
                    return await self._receive(request, body, chunks)
        return await self._receive(request, body, chunks)

    async def _receive(self, request: Request, body: bytearray, rest: AsyncIterator[bytes]) -> Response:
        async for chunk in rest:
            body += chunk
            if len(body) > MAX_ENVELOPE_BYTES:
                return JSONResponse({"detail": f"larger than {MAX_ENVELOPE_BYTES} bytes"}, 413)
        bare = request.url.path.rstrip("/").endswith("/store")
        encoding = request.headers.get("Content-Encoding", "")
        try:
            # Not in the event loop, which a large envelope would block.
            parsed = await run_in_threadpool(_read, bytes(body), encoding, bare)
            await self.intake.store(parsed)
        except InvalidEnvelopeError as error:
            return JSONResponse({"detail": str(error)}, 413 if isinstance(error, TooLargeError) else 400)
        except BusyError as error:
            return JSONResponse({"detail": f"{error}, send it again"}, 429, {"Retry-After": WAIT_SECONDS})
        except (SQLAlchemyError, QflowError):
            return JSONResponse({"detail": "not stored, send it again"}, 503, {"Retry-After": "5"})
        return JSONResponse({"id": parsed.event_id})

    def _may(self, request: Request) -> bool:
        configured = settings().errors.sentry_key
        if configured is None:
            return not self.key_needed
        key = request.query_params.get("sentry_key", "")
        for part in request.headers.get("X-Sentry-Auth", "").removeprefix("Sentry ").split(","):
            name, _, value = part.strip().partition("=")
            key = value if name == "sentry_key" else key
        return hmac.compare_digest(key.encode(), configured.get_secret_value().encode())


def _read(body: bytes, encoding: str, bare: bool) -> Envelope:
    try:
        plain = decode(body, encoding, MAX_ENVELOPE_BYTES)
        plain = decode_legacy(plain, MAX_ENVELOPE_BYTES) if bare else plain
    except EncodingError as error:
        raise InvalidEnvelopeError(str(error)) from None
    except TooLargeBodyError as error:
        raise TooLargeError(str(error)) from None
    return parse_event(plain) if bare else parse_envelope(plain)
