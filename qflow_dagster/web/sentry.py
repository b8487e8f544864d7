"""Errors from any Sentry SDK: the envelope format, as its developer documentation describes it.

A program sets its DSN to ``http://KEY@HOST:PORT/1`` and needs nothing else. Events become
occurrences, transactions become successes or errors of their operation; all other items
of an envelope (sessions, attachments) are ignored. Does not belong here: storing and grouping
(`infrastructure.error_rate_tracker`).
"""

import asyncio
import hmac
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.database.refusals import store_separately
from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.safety import logs
from qflow_dagster.safety.storable import read_json
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

MAX_BODY_BYTES = 2_000_000
MAX_ENVELOPE_BYTES = 20_000_000
# Sentry's own limit of an event; attachments may be larger, they are ignored.
MAX_EVENT_BYTES = 1_000_000
MAX_ITEMS = 1_000
MAX_FRAMES = 200
SEVERITIES = {"fatal": "critical", "error": "error", "warning": "warning", "info": "info", "debug": "debug"}
FINE = {"ok", "unset", None}
READ = ("event", "transaction")
MAX_ID_LENGTH = 64


class InvalidEnvelopeError(QflowError):
    """The request body is not a valid envelope."""


class TooLargeError(InvalidEnvelopeError):
    """The request body is too large."""


@dataclass
class Envelope:
    """The relevant content of an envelope."""

    event_id: str | None = None
    occurrences: list[Occurrence] = field(default_factory=list)
    # (operation, seconds ago, count).
    successes: list[tuple[str, float, int]] = field(default_factory=list)
    # Problems of invalid items; the other items are kept.
    problems: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """Items that can be stored."""
        return len(self.occurrences) + len(self.successes)


class Intake:
    """Store the items of concurrent requests in a transaction, and respond when they are stored."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: list[tuple[Envelope, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def store(self, envelope: Envelope) -> None:
        """Return when the envelope is stored, without items that can never be stored.

        Raises:
            InvalidEnvelopeError: None of its items can ever be stored.
            SQLAlchemyError: It could not be stored; the sender has to send it again.
        """
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
        errors = [(owner, item) for owner, envelope in enumerate(envelopes) for item in envelope.occurrences]
        successes = [(owner, item) for owner, envelope in enumerate(envelopes) for item in envelope.successes]
        refused = [0] * len(envelopes)
        with self.engine.begin() as connection:
            for items, store in ((errors, track_errors), (successes, track_successes)):
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

    async def envelope(self, request: Request) -> Response:
        """Receive an envelope (`/api/N/envelope/`), or a bare event (`/api/N/store/`)."""
        if not self._may(request):
            return JSONResponse({"detail": "unknown key: see QFLOW_ERRORS_SENTRY_KEY"}, 403)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"detail": f"larger than {MAX_BODY_BYTES} bytes"}, 413)
        try:
            plain = decompress(bytes(body), request.headers.get("Content-Encoding", ""))
            bare = request.url.path.rstrip("/").endswith("/store")
            # Not in the event loop, which a large envelope would block.
            parsed = await run_in_threadpool(parse_event if bare else parse_envelope, plain)
            await self.intake.store(parsed)
        except InvalidEnvelopeError as error:
            return JSONResponse({"detail": str(error)}, 413 if isinstance(error, TooLargeError) else 400)
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


def decompress(body: bytes, encoding: str) -> bytes:
    """Return the decompressed body, at most `MAX_ENVELOPE_BYTES` bytes.

    Raises:
        InvalidEnvelopeError: It is damaged, too large, or has an unsupported compression.
    """
    windows = {"gzip": 31, "deflate": 15}
    if not encoding or encoding == "identity":
        return body
    if encoding not in windows:
        raise InvalidEnvelopeError(
            f"Content-Encoding {encoding[:40]!r} is not read here: gzip, deflate or none"
        )
    reader = zlib.decompressobj(windows[encoding])
    try:
        plain = reader.decompress(body, MAX_ENVELOPE_BYTES)
    except zlib.error:
        raise InvalidEnvelopeError(f"the body is not valid {encoding}") from None
    if reader.unconsumed_tail:
        raise InvalidEnvelopeError(f"the envelope is larger than {MAX_ENVELOPE_BYTES} bytes")
    return plain


def parse_event(body: bytes) -> Envelope:
    """Return a bare event as an envelope.

    Raises:
        InvalidEnvelopeError: It is not a valid event.
    """
    event = _object(body, "the event")
    return Envelope(_text(event.get("event_id"), MAX_ID_LENGTH), [occurrence_from(event)])


def parse_envelope(body: bytes) -> Envelope:
    """Return the events and transactions of an envelope; other items are ignored.

    Raises:
        InvalidEnvelopeError: It is not an envelope, has too many items, or only invalid ones.
    """
    header_line, _, rest = body.partition(b"\n")
    header = _object(header_line, "the envelope's header")
    envelope = Envelope(_text(header.get("event_id"), MAX_ID_LENGTH) or None)
    maximum = settings().errors.envelope_items
    try:
        for number, (kind, payload) in enumerate(_items(rest), 1):
            if number > MAX_ITEMS or (envelope.kept + len(envelope.problems) >= maximum and kind in READ):
                raise TooLargeError(f"an envelope holds at most {maximum} events and {MAX_ITEMS} items")
            try:
                if kind == "event":
                    envelope.occurrences.append(occurrence_from(_object(payload, "an event")))
                elif kind == "transaction":
                    _add_transaction(envelope, _object(payload, "a transaction"))
            except InvalidEnvelopeError as error:
                envelope.problems.append(str(error))
    except TooLargeError:
        raise
    except InvalidEnvelopeError as error:
        # The end of the item is unknown; items before it are kept.
        envelope.problems.append(str(error))
    if envelope.problems and not envelope.kept:
        raise InvalidEnvelopeError(envelope.problems[0])
    if envelope.problems:
        logger.warning(
            "%d items of an envelope cannot be read: %s", len(envelope.problems), envelope.problems[0]
        )
    return envelope


def occurrence_from(event: Mapping[str, Any]) -> Occurrence:
    """Return a Sentry event as an occurrence; fields of a wrong type are ignored."""
    exceptions = _values(event.get("exception"))
    error = exceptions[-1] if exceptions else {}
    logentry = event.get("logentry") or event.get("message")
    if isinstance(logentry, Mapping):
        logentry = _text(logentry.get("formatted"), 10_000) or logentry.get("message")
    message = error.get("value")
    frames = _frames(error) or _frames(_first(_values(event.get("threads"))))
    operations = (event.get(name) for name in ("transaction", "logger", "server_name"))
    context = {
        name: event[name]
        for name in (
            "tags",
            "release",
            "environment",
            "platform",
            "server_name",
            "level",
            "contexts",
            "extra",
        )
        if event.get(name)
    }
    trace = _trace(event)
    correlation = trace.get("trace_id") if trace is not None else event.get("event_id")
    level = event.get("level")
    return Occurrence(
        operation=next((name for value in operations if (name := _text(value, 200))), "sentry"),
        kind=_text(error.get("type"), 200) or "Message",
        message=_text(logentry if message is None else message, 10_000),
        stack=_stack(frames),
        context=context or None,
        severity=SEVERITIES.get(level, "error") if isinstance(level, str) else "error",
        correlation_id=_text(correlation, 200) or None,
        source="sentry",
    )


def _add_transaction(envelope: Envelope, event: Mapping[str, Any]) -> None:
    operation = _text(event.get("transaction"), 200) or "sentry"
    status = (_trace(event) or {}).get("status")
    # The error of a failed transaction arrives as a separate event.
    if status is None or (isinstance(status, str) and status in FINE):
        envelope.successes.append((operation, 0.0, 1))


def _trace(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    contexts = event.get("contexts")
    trace = contexts.get("trace") if isinstance(contexts, Mapping) else None
    return trace if isinstance(trace, Mapping) else None


def _items(rest: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(rest):
        end = rest.find(b"\n", at)
        line = rest[at : end if end >= 0 else len(rest)]
        at = end + 1 if end >= 0 else len(rest)
        if not line.strip():
            continue
        header = _object(line, "an item's header")
        length = header.get("length")
        if length is None:
            end = rest.find(b"\n", at)
            stop = end if end >= 0 else len(rest)
        elif isinstance(length, int) and not isinstance(length, bool) and 0 <= length <= len(rest) - at:
            stop = at + length
        else:
            raise InvalidEnvelopeError("an item is shorter than its header says")
        yield _text(header.get("type"), MAX_ID_LENGTH), rest[at:stop]
        at = stop + 1


def _object(line: bytes, what: str) -> dict[str, Any]:
    if len(line) > MAX_EVENT_BYTES:
        raise InvalidEnvelopeError(f"{what} is larger than {MAX_EVENT_BYTES} bytes")
    try:
        value = read_json(line)
    except ValueError:
        raise InvalidEnvelopeError(f"{what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidEnvelopeError(f"{what} is not a JSON object")
    return value


def _values(value: Any) -> list[Mapping[str, Any]]:
    """Return a list that Sentry writes bare or as {"values": [...]}."""
    items = value.get("values") if isinstance(value, Mapping) else value
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _first(items: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return items[0] if items else {}


def _frames(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    stacktrace = holder.get("stacktrace")
    return _values({"values": stacktrace.get("frames")}) if isinstance(stacktrace, Mapping) else []


def _stack(frames: list[Mapping[str, Any]]) -> str | None:
    """Format frames as a Python traceback, which `fingerprints` parses; outermost first in both."""
    lines = []
    for frame in frames[-MAX_FRAMES:]:
        paths = (_line(frame.get(name), 500) for name in ("abs_path", "filename", "module"))
        file = next(filter(None, paths), "").replace('"', "'")
        function = _line(frame.get("function"), 200) or "?"
        lines.append(f'  File "{file}", line {_line_number(frame.get("lineno"))}, in {function}')
    return "\n".join(lines) or None


def _line_number(value: Any) -> int:
    """Return a line of a file; 0 if it is invalid. Some SDKs send numbers as strings."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def _text(value: Any, limit: int) -> str:
    """Return a string or number as stripped text; empty for other types."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()[:limit]


def _line(value: Any, limit: int) -> str:
    return " ".join(_text(value, limit).split())
