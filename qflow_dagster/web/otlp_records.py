"""Spans and log records of OpenTelemetry as errors and successes, by its semantic conventions for exceptions.

Belongs here: the content of OTLP, as protobuf and as JSON. Of spans, events named `exception` are errors; a span that
began a request is an error too if its status says so, else a success. Of log records, those with an exception are
errors. Does not belong here: HTTP (`otlp`), storing (`intake`), reading of stacks (`infrastructure`).
"""

import base64
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, Success
from qflow_dagster.safety.redaction import cut
from qflow_dagster.safety.storable import read_json
from qflow_dagster.web.intake import Envelope, InvalidEnvelopeError, TooLargeError
from qflow_dagster.web.sentry_events import hashed_user

# Errors and successes of a request that are kept, and attributes of each, as many as SDKs send.
MAX_RECORDS, MAX_ATTRIBUTES = 1_000, 128
# Bytes of a request, as gRPC limits it, and its spans or log records; a message of two bytes takes a hundred in memory.
MAX_REQUEST_BYTES, MAX_ITEMS = 4_000_000, 10_000
MAX_TEXT, MAX_DEPTH = 2_000, 4
# The first number of each severity of a log record.
SEVERITIES = ((21, "critical"), (17, "error"), (13, "warning"), (9, "info"), (1, "debug"))
ENTRIES = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
TYPE, MESSAGE, STACK = "exception.type", "exception.message", "exception.stacktrace"
# What a request is that has the status of an error and no exception.
FAILED = "RequestFailed"
USERS = {"id": ("user.id", "enduser.id"), "email": ("user.email",), "username": ("user.name",)}
ENVIRONMENTS = ("deployment.environment.name", "deployment.environment")

Attributes = dict[str, Any]
M = TypeVar("M", bound=Message)


class _Called(NamedTuple):
    """A span, with its trace and what produced it."""

    span: Span
    trace: str
    resource: Attributes


def parse_traces(body: bytes, *, as_json: bool) -> Envelope:
    """Return the exceptions of spans, and the requests that succeeded, or failed without an exception.

    An exception that passes several spans of a trace is one error, with the stack of the innermost.

    Raises:
        InvalidEnvelopeError: It is not what the protocol describes.
        TooLargeError: It has too many bytes or items.
    """
    request = _message(ExportTraceServiceRequest(), body, as_json)
    _limit(sum(len(scope.spans) for group in request.resource_spans for scope in group.scope_spans))
    spans: dict[tuple[str, bytes], _Called] = {}
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                trace = _hex(span.trace_id, as_json)
                spans[trace, span.span_id] = _Called(span, trace, resource)
    envelope, failed = Envelope(), set[tuple[str, bytes]]()
    raised = []
    for called in spans.values():
        for event in called.span.events:
            if event.name == "exception":
                entry = _entry(called, spans)
                failed.add((called.trace, entry.span_id))
                raised.append((event, called, entry.name))
    # The innermost span records an exception first, with its whole stack.
    for event, called, operation in sorted(raised, key=lambda item: item[0].time_unix_nano):
        attributes = _attributes(event.attributes)
        own = _attributes(called.span.attributes)
        _add(
            envelope.occurrences,
            envelope,
            _occurrence(operation, attributes, own, called.resource, called.trace, event.time_unix_nano),
        )
    for key, called in spans.items():
        span = called.span
        if not _begins_request(span) or key in failed:
            continue
        operation, number = span.name[:MAX_TEXT] or "otlp", _hex(span.span_id, as_json)
        if span.status.code == Status.STATUS_CODE_ERROR:
            message = {TYPE: FAILED, MESSAGE: span.status.message}
            occurrence = _occurrence(
                operation,
                message,
                _attributes(span.attributes),
                called.resource,
                called.trace,
                span.end_time_unix_nano,
            )
            id_ = _digest(called.trace, "failure", number)
            _add(envelope.occurrences, envelope, replace(occurrence, event_id=id_))
        else:
            id_ = _digest(called.trace, "success", number)
            success = Success(operation, _age(span.end_time_unix_nano), 1, id_, called.trace or None)
            _add(envelope.successes, envelope, success)
    return envelope


def parse_logs(body: bytes, *, as_json: bool) -> Envelope:
    """Return the exceptions of log records. Raises as `parse_traces`."""
    request = _message(ExportLogsServiceRequest(), body, as_json)
    _limit(sum(len(scope.log_records) for group in request.resource_logs for scope in group.scope_logs))
    envelope = Envelope()
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_logs:
            for record in scope.log_records:
                attributes = _attributes(record.attributes)
                if not (attributes.get(TYPE) or attributes.get(MESSAGE)):
                    continue
                occurrence = _occurrence(
                    scope.scope.name or _text(resource.get("service.name")),
                    attributes,
                    {name: value for name, value in attributes.items() if not name.startswith("exception.")},
                    resource,
                    _hex(record.trace_id, as_json),
                    record.time_unix_nano or record.observed_time_unix_nano,
                    _severity(record),
                )
                _add(envelope.occurrences, envelope, occurrence)
    return envelope


def _message(message: M, body: bytes, as_json: bool) -> M:
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLargeError(f"the request is larger than {MAX_REQUEST_BYTES:,} bytes")
    try:
        if as_json:
            content = read_json(body)
            if not isinstance(content, dict):
                raise ValueError
            return ParseDict(content, message, ignore_unknown_fields=True)
        message.ParseFromString(body)
    except (ParseError, DecodeError, ValueError, TypeError, AttributeError):
        form = "JSON" if as_json else "protobuf"
        raise InvalidEnvelopeError(f"the body is not {message.DESCRIPTOR.name} as {form}") from None
    return message


def _limit(items: int) -> None:
    if items > MAX_ITEMS:
        raise TooLargeError(f"the request holds {items:,} items, more than {MAX_ITEMS:,}")


def _entry(called: _Called, spans: Mapping[tuple[str, bytes], _Called]) -> Span:
    """Return the span that began the request, as far as spans around this one were sent with it."""
    seen: set[bytes] = set()
    while not _begins_request(called.span) and called.span.span_id not in seen:
        seen.add(called.span.span_id)
        around = spans.get((called.trace, called.span.parent_span_id))
        if around is None:
            break
        called = around
    return called.span


def _begins_request(span: Span) -> bool:
    return span.kind in ENTRIES or not span.parent_span_id


def _occurrence(
    operation: str,
    exception: Attributes,
    attributes: Attributes,
    resource: Attributes,
    trace: str,
    at: int,
    severity: str = "error",
) -> Occurrence:
    kind, message = _text(exception.get(TYPE)), str(exception.get(MESSAGE) or "")
    stack = str(exception.get(STACK) or "") or None
    service, version = (_text(resource.get(name)) for name in ("service.name", "service.version"))
    users = {
        key: next(filter(None, (attributes.get(name) for name in names)), None)
        for key, names in USERS.items()
    }
    named = {name for names in USERS.values() for name in names}
    context = {
        "release": f"{service}@{version}" if service and version else version,
        "environment": next(filter(None, (_text(resource.get(name)) for name in ENVIRONMENTS)), ""),
        "user": hashed_user(users),
        "attributes": {name: value for name, value in attributes.items() if name not in named},
        "resource": resource,
    }
    return Occurrence(
        operation=operation or "otlp",
        kind=kind or "Error",
        message=message,
        stack=stack,
        context={name: value for name, value in context.items() if value},
        severity=severity,
        correlation_id=trace or None,
        source="otlp",
        age=_age(at),
        # One exception is recorded by each span that it passes, and by a log record, also in other requests.
        event_id=_digest(trace, kind, message) if trace else _digest(str(at), kind, message, stack or ""),
    )


def _add(items: list[Any], envelope: Envelope, item: Any) -> None:
    if envelope.kept < MAX_RECORDS:
        items.append(item)
    else:
        envelope.problems.append(InvalidEnvelopeError("too many errors and successes"))


def _severity(record: LogRecord) -> str:
    return next((name for least, name in SEVERITIES if record.severity_number >= least), "error")


def _age(nanoseconds: int) -> float:
    """Return the seconds since a time; 0 for a time to come or none."""
    return max(time.time() - nanoseconds / 1e9, 0.0) if nanoseconds else 0.0


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:32]


def _hex(id_: bytes, as_json: bool) -> str:
    # In the JSON of OTLP ids are hexadecimal, not base64 as in that of protobuf, which their digits also are.
    return base64.b64encode(id_).decode().lower() if as_json else id_.hex()


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key[:200]: _value(pair.value) for pair, _ in zip(pairs, range(MAX_ATTRIBUTES), strict=False)}


def _value(value: AnyValue, depth: int = 0) -> Any:
    """Return an attribute's value as JSON; bytes, and what lies deeper than a few levels, are left out."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value" | "int_value" | "double_value" as name:
            return getattr(value, name)
        case "array_value" if depth < MAX_DEPTH:
            return [_value(item, depth + 1) for item in _first(value.array_value.values)]
        case "kvlist_value" if depth < MAX_DEPTH:
            pairs = _first(value.kvlist_value.values)
            return {pair.key[:200]: _value(pair.value, depth + 1) for pair in pairs}
        case _:
            return None


def _first(items: Sequence[Any]) -> Sequence[Any]:
    return items[:MAX_ATTRIBUTES]


def _text(value: Any) -> str:
    return cut(value.strip(), 200) if isinstance(value, str) else ""
