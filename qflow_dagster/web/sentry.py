"""Errors from any Sentry SDK: the envelope format, as its developer documentation describes it.

A program sets its DSN to ``http://KEY@HOST:PORT/1`` and needs nothing else. Events become
occurrences, transactions become successes or errors of their operation; everything else of
an envelope (sessions, attachments) is read over. Does not belong here: storing and grouping
(`infrastructure.error_rate_tracker`).
"""

import asyncio
import hmac
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.settings import settings

LARGEST_BODY = 2_000_000
LARGEST_ENVELOPE = 20_000_000
SEVERITIES = {"fatal": "critical", "error": "error", "warning": "warning", "info": "info", "debug": "debug"}
FINE = {"ok", "unset", None}


class BadEnvelope(QflowError):  # noqa: N818
    """What was sent is no envelope."""


@dataclass
class Envelope:
    """What we take from an envelope."""

    event_id: str | None = None
    occurrences: list[Occurrence] = field(default_factory=list)
    # (operation, seconds ago, count).
    successes: list[tuple[str, float, int]] = field(default_factory=list)


class Intake:
    """Writes what several requests bring in one transaction, and answers when it is stored."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: list[tuple[Envelope, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def store(self, envelope: Envelope) -> None:
        """Return when the envelope is in the database.

        Raises:
            SQLAlchemyError: it could not be stored; the sender has to send it again.
        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((envelope, stored))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await stored

    async def _write(self) -> None:
        """While one batch is written the next gathers: the busier, the larger the batches."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            problem: Exception | None = None
            try:
                await run_in_threadpool(self._write_batch, [envelope for envelope, _ in batch])
            except (SQLAlchemyError, QflowError) as error:
                problem = error
            for _, stored in batch:
                if stored.done():
                    continue
                if problem is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(problem)

    def _write_batch(self, envelopes: list[Envelope]) -> None:
        with self.engine.begin() as connection:
            track_errors(connection, [item for envelope in envelopes for item in envelope.occurrences])
            track_successes(connection, [item for envelope in envelopes for item in envelope.successes])


class Sentry:
    """The endpoints SDKs send to."""

    def __init__(self, engine: Engine, *, key_needed: bool) -> None:
        self.intake = Intake(engine)
        self.key_needed = key_needed

    async def envelope(self, request: Request) -> Response:
        """Take an envelope (`/api/N/envelope/`), or a bare event (`/api/N/store/`)."""
        if not self._may(request):
            return JSONResponse({"detail": "unknown key: see QFLOW_ERRORS_SENTRY_KEY"}, 403)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return JSONResponse({"detail": f"larger than {LARGEST_BODY} bytes"}, 413)
        try:
            plain = decompress(body, request.headers.get("Content-Encoding", ""))
            if request.url.path.rstrip("/").endswith("/store"):
                event = _object(plain, "the event")
                parsed = Envelope(str(event.get("event_id") or ""), [occurrence_from(event)])
            else:
                parsed = parse_envelope(plain)
            await self.intake.store(parsed)
        except BadEnvelope as error:
            return JSONResponse({"detail": str(error)}, 400)
        except (SQLAlchemyError, QflowError):
            return JSONResponse({"detail": "not stored, send it again"}, 503, {"Retry-After": "5"})
        return JSONResponse({"id": parsed.event_id})

    def _may(self, request: Request) -> bool:
        configured = settings().errors.sentry_key
        if configured is None:
            return not self.key_needed
        given = request.query_params.get("sentry_key", "")
        for part in request.headers.get("X-Sentry-Auth", "").removeprefix("Sentry ").split(","):
            name, _, value = part.strip().partition("=")
            given = value if name == "sentry_key" else given
        return hmac.compare_digest(given.encode(), configured.get_secret_value().encode())


def decompress(body: bytes, encoding: str) -> bytes:
    """The body without its compression, at most `LARGEST_ENVELOPE` bytes.

    Raises:
        BadEnvelope: it is damaged, grows too large, or is compressed in a way we do not read.
    """
    windows = {"gzip": 31, "deflate": 15}
    if not encoding or encoding == "identity":
        return body
    if encoding not in windows:
        raise BadEnvelope(f"Content-Encoding {encoding[:40]!r} is not read here: gzip, deflate or none")
    reader = zlib.decompressobj(windows[encoding])
    try:
        plain = reader.decompress(body, LARGEST_ENVELOPE)
    except zlib.error:
        raise BadEnvelope(f"the body is no {encoding}") from None
    if reader.unconsumed_tail:
        raise BadEnvelope(f"the envelope is larger than {LARGEST_ENVELOPE} bytes")
    return plain


def parse_envelope(body: bytes) -> Envelope:
    """The events and transactions of an envelope.

    Raises:
        BadEnvelope: it is none.
    """
    header_line, _, rest = body.partition(b"\n")
    header = _object(header_line, "the envelope's header")
    envelope = Envelope(str(header["event_id"]) if header.get("event_id") else None)
    for kind, payload in _items(rest):
        if kind == "event":
            envelope.occurrences.append(occurrence_from(_object(payload, "an event")))
        elif kind == "transaction":
            _add_transaction(envelope, _object(payload, "a transaction"))
    return envelope


def occurrence_from(event: Mapping[str, Any]) -> Occurrence:
    """A Sentry event as an occurrence."""
    exceptions = _values(event.get("exception"))
    error = exceptions[-1] if exceptions else {}
    logentry = event.get("logentry") or event.get("message") or {}
    message = error.get("value")
    if message is None and isinstance(logentry, Mapping):
        message = logentry.get("formatted") or logentry.get("message")
    elif message is None:
        message = logentry
    frames = _frames(error) or _frames(_first(_values(event.get("threads"))))
    operation = event.get("transaction") or event.get("logger") or event.get("server_name") or "sentry"
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
    trace = event.get("contexts")
    trace = trace.get("trace") if isinstance(trace, Mapping) else None
    correlation = trace.get("trace_id") if isinstance(trace, Mapping) else event.get("event_id")
    return Occurrence(
        operation=_text(operation, 200) or "sentry",
        kind=_text(error.get("type"), 200) or "Message",
        message=_text(message, 10_000),
        stack=_stack(frames),
        context=context or None,
        severity=SEVERITIES.get(str(event.get("level", "error")), "error"),
        correlation_id=_text(correlation, 200) or None,
        source="sentry",
    )


def _add_transaction(envelope: Envelope, event: Mapping[str, Any]) -> None:
    operation = _text(event.get("transaction"), 200) or "sentry"
    trace = (event.get("contexts") or {}).get("trace") if isinstance(event.get("contexts"), Mapping) else None
    status = trace.get("status") if isinstance(trace, Mapping) else None
    # A failed transaction's error arrives as an event of its own.
    if status in FINE:
        envelope.successes.append((operation, 0.0, 1))


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
        elif isinstance(length, int) and 0 <= length <= len(rest) - at:
            stop = at + length
        else:
            raise BadEnvelope("an item is shorter than its header says")
        yield str(header.get("type")), rest[at:stop]
        at = stop + 1


def _object(line: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise BadEnvelope(f"{what} is no JSON") from None
    if not isinstance(value, dict):
        raise BadEnvelope(f"{what} is no JSON object")
    return value


def _values(value: Any) -> list[Mapping[str, Any]]:
    """Sentry writes lists bare or as {"values": [...]}."""
    items = value.get("values") if isinstance(value, Mapping) else value
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _first(items: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return items[0] if items else {}


def _frames(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    stacktrace = holder.get("stacktrace")
    return _values({"values": stacktrace.get("frames")}) if isinstance(stacktrace, Mapping) else []


def _stack(frames: list[Mapping[str, Any]]) -> str | None:
    """Frames as Python prints them, which `fingerprints` reads; outermost first in both."""
    lines = []
    for frame in frames[-200:]:
        file = _text(frame.get("abs_path") or frame.get("filename") or frame.get("module"), 500).replace(
            '"', "'"
        )
        line = frame.get("lineno")
        number = line if isinstance(line, int) else 0
        function = " ".join(_text(frame.get("function"), 200).split()) or "?"
        lines.append(f'  File "{" ".join(file.split())}", line {number}, in {function}')
    return "\n".join(lines) or None


def _text(value: Any, limit: int) -> str:
    return "" if value is None else str(value)[:limit]
