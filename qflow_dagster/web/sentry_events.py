"""Envelopes and events of Sentry SDKs as occurrences, as Sentry's developer documentation describes them.

Belongs here: the formats, with what old SDKs send. Events become occurrences, transactions become successes of their
operation, sessions, check-ins and client reports are counted (`sentry_counts`); other items (attachments) are
ignored. Does not belong here: HTTP (`sentry`), stacks (`sentry_stacks`), storing and grouping (`infrastructure`).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, Success
from qflow_dagster.safety import logs
from qflow_dagster.safety.storable import read_json
from qflow_dagster.settings import settings
from qflow_dagster.web.intake import Envelope, InvalidEnvelopeError, TooLargeError
from qflow_dagster.web.sentry_counts import (
    check_in_from,
    discarded_from,
    failure_from,
    session_from,
    sessions_from,
)
from qflow_dagster.web.sentry_stacks import exceptions_of, stack_text, threads_of
from qflow_dagster.web.sentry_values import age, filled, is_ahead, values
from qflow_dagster.web.sentry_values import text as _text

logger = logs.logger(__name__)

# Sentry's own limit of an event.
MAX_EVENT_BYTES = 1_000_000
MAX_ITEMS = 1_000
# By the levels of Sentry, and the numbers of those of Python's logging, which old SDKs send.
SEVERITIES = {
    "fatal": "critical",
    "critical": "critical",
    "50": "critical",
    "error": "error",
    "40": "error",
    "warning": "warning",
    "warn": "warning",
    "30": "warning",
    "info": "info",
    "log": "info",
    "20": "info",
    "debug": "debug",
    "10": "debug",
}
# Parts of a fingerprint, and last breadcrumbs that are kept.
MAX_FINGERPRINT, MAX_BREADCRUMBS = 20, 20
FINE = {"ok", "unset", None}
READ = ("event", "transaction", "span")
# Of a page, measurements that are sent as spans of their own; they are no calls.
MEASUREMENTS = ("ui.webvital", "ui.interaction")
COUNTS = ("session", "sessions", "client_report", "check_in")
MAX_ID_LENGTH = 64
EVENT_ID = re.compile(r"[0-9a-f]{32}")
LEAST_SAMPLE_RATE = 1e-6


class TooManyItemsError(TooLargeError):
    """An envelope has too many items; none of them is read."""


def parse_event(body: bytes) -> Envelope:
    """Return a bare event as an envelope.

    Raises:
        InvalidEnvelopeError: It is not a valid event.
    """
    event = _object(body, "the event")
    return Envelope(_text(event.get("event_id"), MAX_ID_LENGTH), [occurrence_from(event, {})])


def parse_envelope(body: bytes) -> Envelope:
    """Return what an envelope reports; items of other types are ignored.

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
                raise TooManyItemsError(f"an envelope holds at most {maximum} events and {MAX_ITEMS} items")
            try:
                if kind == "event":
                    # The id in the header is that of the one event that an envelope holds.
                    named = {} if envelope.occurrences else {"event_id": envelope.event_id}
                    event = {**named, **_object(payload, "an event")}
                    envelope.occurrences.append(occurrence_from(event, header))
                elif kind == "transaction":
                    _add_transaction(envelope, _object(payload, "a transaction"), header)
                elif kind == "span":
                    _add_spans(envelope, _object(payload, "an item of spans"), header)
                elif kind in COUNTS:
                    _add_counts(envelope, kind, _object(payload, f"an item of type {kind}"), header)
            except InvalidEnvelopeError as error:
                envelope.problems.append(error)
    except TooManyItemsError:
        raise
    except InvalidEnvelopeError as error:
        # The end of the item is unknown; items before it are kept.
        envelope.problems.append(error)
    if envelope.problems and not envelope.kept:
        raise envelope.problems[0]
    if envelope.problems:
        logger.warning(
            "%d items of an envelope cannot be read: %s", len(envelope.problems), envelope.problems[0]
        )
    return envelope


def occurrence_from(event: Mapping[str, Any], header: Mapping[str, Any]) -> Occurrence:
    """Return a Sentry event as an occurrence; fields of a wrong type are ignored.

    `header` is that of its envelope. Of a chain of exceptions, the stack holds all, the cause first.
    """
    exceptions = exceptions_of(event)
    error = exceptions[-1] if exceptions else {}
    said, template = _message(event)
    message = _text(error.get("value"), 10_000) or said
    operations = (
        event.get("transaction"),
        _mapping(header.get("trace")).get("transaction"),
        event.get("logger"),
    )
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
    context |= {name: value for name, value in _details(event).items() if value}
    if is_ahead(event.get("timestamp"), header):
        context["dated_ahead"] = event["timestamp"]
    stack = stack_text(event, exceptions)
    if template and template != said and not exceptions:
        exceptions = [{"type": "Message", "value": template}]
    trace = _trace(event)
    correlation = trace.get("trace_id") if trace is not None else event.get("event_id")
    return Occurrence(
        operation=next((name for value in operations if (name := _text(value, 200))), "sentry"),
        kind=_text(error.get("type"), 200) or "Message",
        message=message,
        stack=stack,
        exceptions=exceptions or None,
        context=context or None,
        severity=SEVERITIES.get(_text(event.get("level"), 20).lower(), "error"),
        correlation_id=_text(correlation, 200) or None,
        source="sentry",
        age=age(event.get("timestamp"), header),
        event_id=_event_id(event),
    )


def _message(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return the message of an event, and its template if it has one."""
    logentry = event.get("logentry") or event.get("sentry.interfaces.Message") or event.get("message")
    if not isinstance(logentry, Mapping):
        return _text(logentry, 10_000), ""
    template = _text(logentry.get("message"), 10_000)
    formatted = _text(logentry.get("formatted"), 10_000)
    return formatted or filled(template, logentry.get("params"))[:10_000], template


def _details(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what helps to understand an event besides its stack: of each only what is needed."""
    tags, request, given = event.get("tags"), event.get("request"), event.get("fingerprint")
    details: dict[str, Any] = {
        "event_id": _text(event.get("event_id"), MAX_ID_LENGTH),
        "user": hashed_user(event.get("user")),
        "template": _message(event)[1],
        "threads": threads_of(event),
        "breadcrumbs": [
            {name: crumb[name] for name in ("timestamp", "category", "level", "message") if crumb.get(name)}
            for crumb in values(event.get("breadcrumbs"))[-MAX_BREADCRUMBS:]
        ],
    }
    if isinstance(tags, list):
        # Pairs, which as an object are redacted by their names.
        pairs = [pair for pair in tags if isinstance(pair, list) and len(pair) == 2]
        details["tags"] = {_text(name, 200): value for name, value in pairs}
    if isinstance(request, Mapping):
        details["request"] = {name: _text(request.get(name), 2_000) for name in ("method", "url")}
    if isinstance(given, list):
        parts = [_text(part, 200) for part in given[:MAX_FINGERPRINT]]
        details["fingerprint"] = [part for part in parts if part]
    return details


def hashed_user(user: Any) -> str:
    """Return a digest that tells users apart without naming them; empty without a name."""
    if not isinstance(user, Mapping):
        return ""
    names = (_text(user.get(key), 500) for key in ("id", "email", "username", "ip_address"))
    named = next(filter(None, names), "")
    return hashlib.sha256(named.encode(errors="replace")).hexdigest()[:16] if named else ""


def _add_transaction(envelope: Envelope, event: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    operation = _text(event.get("transaction"), 200) or "sentry"
    trace = _trace(event) or {}
    status = trace.get("status")
    # The error of a failed transaction arrives as a separate event.
    if status is None or (isinstance(status, str) and status in FINE):
        success = Success(
            operation,
            age(event.get("timestamp"), header),
            _stands_for(_mapping(header.get("trace")).get("sample_rate")),
            _event_id(event),
            _text(trace.get("trace_id"), 200) or None,
        )
        envelope.successes.append(success)


def _add_spans(envelope: Envelope, item: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Add the calls among streamed spans, which newer SDKs send instead of transactions: those without one around."""
    for span in values(item.get("items"))[:MAX_ITEMS]:
        attributes = _mapping(span.get("attributes"))
        said = {
            name: _mapping(attributes.get(f"sentry.{name}")).get("value") for name in ("op", "sample_rate")
        }
        if (
            span.get("is_segment") is not True
            or span.get("status") not in FINE
            or _text(said["op"], 200).startswith(MEASUREMENTS)
        ):
            continue
        trace, number = _text(span.get("trace_id"), 200), _text(span.get("span_id"), 200)
        success = Success(
            _text(span.get("name"), 200) or "sentry",
            age(span.get("end_timestamp"), header),
            _stands_for(said["sample_rate"]),
            hashlib.sha256(f"span {trace} {number}".encode()).hexdigest()[:32] if trace and number else None,
            trace or None,
        )
        envelope.successes.append(success)


def _add_counts(envelope: Envelope, kind: str, item: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    if kind == "session":
        session = session_from(item, header)
        envelope.sessions += [session] if session else []
    elif kind == "sessions":
        envelope.sessions += sessions_from(item, header)
    elif kind == "client_report":
        envelope.discarded += discarded_from(item)
    else:
        check_in, failure = check_in_from(item), failure_from(item)
        envelope.check_ins += [check_in] if check_in else []
        envelope.occurrences += [failure] if failure else []


def _event_id(event: Mapping[str, Any]) -> str | None:
    """Return the id that the SDK gave an event, a UUID without dashes; None for anything else."""
    id_ = _text(event.get("event_id"), MAX_ID_LENGTH).replace("-", "").lower()
    return id_ if EVENT_ID.fullmatch(id_) else None


def _stands_for(sample_rate: Any) -> int:
    """Return how many calls a sampled one stands for."""
    try:
        rate = float(_text(sample_rate, 20))
    except ValueError:
        return 1
    return round(1 / rate) if LEAST_SAMPLE_RATE <= rate <= 1 else 1


def _trace(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    trace = _mapping(event.get("contexts")).get("trace")
    return trace if isinstance(trace, Mapping) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


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
        if rest[stop : stop + 1] not in (b"", b"\n"):
            raise InvalidEnvelopeError("an item is longer than its header says")
        at = stop + 1


def _object(line: bytes, what: str) -> dict[str, Any]:
    if len(line) > MAX_EVENT_BYTES:
        raise TooLargeError(f"{what} is larger than {MAX_EVENT_BYTES:,} bytes")
    try:
        value = read_json(line)
    except ValueError:
        raise InvalidEnvelopeError(f"{what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidEnvelopeError(f"{what} is not a JSON object")
    return value
