"""Errors by OpenTelemetry: what its own exporters send is grouped and counted; what is no OTLP is refused."""

import base64
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import rate
from qflow_dagster.web.intake import InvalidEnvelopeError, TooLargeError
from qflow_dagster.web.otlp_records import MAX_ITEMS, MAX_RECORDS, MAX_REQUEST_BYTES, parse_logs, parse_traces

TRACES, LOGS = "/api/1/integration/otlp/v1/traces", "/api/1/integration/otlp/v1/logs"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
TRACE, ROOT, CHILD = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b175"


def pairs(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def span(name: str, id_: str = ROOT, parent: str = "", *, error: str = "", **changes: Any) -> dict[str, Any]:
    now = time.time_ns()
    events = [
        {
            "name": "exception",
            "timeUnixNano": str(now),
            "attributes": pairs({"exception.type": "ValueError", "exception.message": error}),
        }
    ]
    return {
        "traceId": TRACE,
        "spanId": id_,
        "parentSpanId": parent,
        "name": name,
        "endTimeUnixNano": str(now),
        "events": events if error else [],
        **changes,
    }


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def as_json(request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode()


def read(*spans: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return operation and message of each error, and the operations of successes."""
    envelope = parse_traces(as_json(traces(*spans)), as_json=True)
    errors = [(occurrence.operation, occurrence.message) for occurrence in envelope.occurrences]
    return errors, [success.operation for success in envelope.successes]


def test_what_exporters_send_is_grouped_and_counted(served: str, engine: Engine) -> None:
    resource = Resource.create(
        {"service.name": "shop", "service.version": "1.2.0", "deployment.environment.name": "test"}
    )
    spans, records = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    spans.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(served + TRACES, compression=Compression.Gzip))
    )
    records.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(served + LOGS)))
    tracer, logger = spans.get_tracer("cart"), records.get_logger("cart")

    def pay() -> None:
        # The exception passes two spans, and is logged as well: it is one error.
        with tracer.start_as_current_span("charge"):
            raise ValueError("no stock of 17")

    def serve() -> None:
        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER):
            try:
                pay()
            except ValueError as error:
                logger.emit(exception=error, severity_number=SeverityNumber.ERROR)
                raise

    for _ in range(3):
        with pytest.raises(ValueError, match="no stock"):
            serve()
        with (
            tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER),
            tracer.start_as_current_span("q"),
        ):
            pass
    try:
        raise TimeoutError("no answer from the bank")
    except TimeoutError as error:
        logger.emit(exception=error, severity_number=SeverityNumber.FATAL)
    spans.shutdown()
    records.shutdown()
    error_analysis.analyze(engine)
    with engine.connect() as connection:
        groups = {group["kind"]: group for group in error_records.find(connection)}
        shown = error_records.show(connection, groups["ValueError"]["id"])
        counted = rate(connection, "POST /pay")
    assert (groups["ValueError"]["count"], groups["TimeoutError"]["count"]) == (3, 1)
    assert (groups["TimeoutError"]["operation"], groups["TimeoutError"]["severity"]) == ("cart", "critical")
    assert (counted.errors, counted.total) == (3, 6)
    assert groups["ValueError"]["last_release"] == "shop@1.2.0"
    assert groups["ValueError"]["frames"][-1]["function"] == "pay"
    context = shown["occurrences"][0]["context"]
    assert (context["environment"], context["resource"]["service.name"]) == ("test", "shop")


@pytest.mark.parametrize(
    ("spans", "errors", "successes"),
    [
        pytest.param([span("GET /")], [], ["GET /"], id="a span without a parent is a request"),
        pytest.param([span("db", CHILD, ROOT)], [], [], id="one within another is none"),
        pytest.param([span("GET /", CHILD, ROOT, kind=2)], [], ["GET /"], id="unless it serves or consumes"),
        pytest.param(
            [span("GET /", status={"code": 2, "message": "500"})],
            [("GET /", "500")],
            [],
            id="a failed request is an error without an exception too",
        ),
        pytest.param([span("db", CHILD, ROOT, status={"code": 2})], [], [], id="a part that failed is none"),
        pytest.param(
            [span("GET /", error="no", status={"code": 2})],
            [("GET /", "no")],
            [],
            id="with one it counts once",
        ),
        pytest.param(
            [span("db", CHILD, ROOT, error="no"), span("GET /")],
            [("GET /", "no")],
            [],
            id="an error counts for the request it happened in",
        ),
        pytest.param(
            [span("db", CHILD, ROOT, error="no")],
            [("db", "no")],
            [],
            id="for its own span if the request was not sent with it",
        ),
        pytest.param(
            [span("a", CHILD, ROOT, error="no"), span("b", ROOT, CHILD)],
            [("a", "no")],
            [],
            id="spans that name each other as parents",
        ),
    ],
)
def test_errors_and_successes_of_spans(
    spans: list[dict[str, Any]], errors: list[tuple[str, str]], successes: list[str]
) -> None:
    assert read(*spans) == (errors, successes)


def test_an_exception_counts_once_however_often_it_is_sent(client: TestClient, engine: Engine) -> None:
    inner, outer = span("db", CHILD, ROOT, error="no"), span("GET /", error="no")
    other = span("GET /", error="no", traceId=TRACE[::-1])
    for request in (traces(inner), traces(outer), traces(inner, outer), traces(other)):
        assert client.post(TRACES, json=request).json() == {"partialSuccess": {}}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT correlation_id FROM error_occurrences ORDER BY id")).scalars()
        assert rows.all() == [TRACE, TRACE[::-1]]


def test_protobuf_and_json_say_the_same() -> None:
    request = traces(span("db", CHILD, ROOT, error="no"), span("GET /", traceId=TRACE[::-1]))
    in_binary = json.loads(json.dumps(request))
    for item in in_binary["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        # In the JSON of protobuf ids are base64.
        for name in ("traceId", "spanId", "parentSpanId"):
            item[name] = base64.b64encode(bytes.fromhex(item[name])).decode()
    binary = ParseDict(in_binary, ExportTraceServiceRequest()).SerializeToString()
    one, other = parse_traces(binary, as_json=False), parse_traces(as_json(request), as_json=True)
    assert one.occurrences[0].event_id == other.occurrences[0].event_id
    assert one.occurrences[0].correlation_id == other.occurrences[0].correlation_id == TRACE
    assert one.successes[0].event_id == other.successes[0].event_id


@pytest.mark.parametrize(
    ("number", "severity"), [(0, "error"), (1, "debug"), (9, "info"), (16, "warning"), (24, "critical")]
)
def test_log_records_have_a_severity(number: int, severity: str) -> None:
    record = {"severityNumber": number, "attributes": pairs({"exception.type": "E"}), "timeUnixNano": "1"}
    bare = {"severityNumber": 17, "body": {"stringValue": "no exception"}}
    request = {"resourceLogs": [{"scopeLogs": [{"scope": {"name": "cart"}, "logRecords": [record, bare]}]}]}
    [occurrence] = parse_logs(as_json(request), as_json=True).occurrences
    assert (occurrence.operation, occurrence.severity) == ("cart", severity)


def test_secrets_and_names_of_users_are_not_stored(client: TestClient, engine: Engine) -> None:
    secret = "ghp_" + "a1B2c3D4e5" * 4
    failed = span("GET /", error=f"bad token {secret}", attributes=pairs({"user.email": "ada@example.org"}))
    assert client.post(TRACES, json=traces(failed)).status_code == 200
    with engine.connect() as connection:
        row = connection.execute(text("SELECT o::text FROM error_occurrences o")).scalar_one()
    assert secret not in row
    assert "ada@example.org" not in row


@pytest.mark.parametrize(
    ("body", "in_json"),
    [
        (b"{", True),
        (b"", True),
        (b"[]", True),
        (b'{"resourceSpans": 1}', True),
        (as_json(traces(span("GET /", traceId=7))), True),
        (as_json(traces(span("GET /", endTimeUnixNano=-1))), True),
        (b'{"resourceSpans":' * 500, True),
        (b"\x0a\xff", False),
        (b"not protobuf", False),
    ],
)
def test_what_is_no_otlp_is_refused(body: bytes, in_json: bool) -> None:
    with pytest.raises(InvalidEnvelopeError, match="the body is not ExportTraceServiceRequest"):
        parse_traces(body, as_json=in_json)


def test_large_requests_are_refused_before_they_take_memory() -> None:
    with pytest.raises(TooLargeError, match="larger than"):
        parse_traces(b" " * (MAX_REQUEST_BYTES + 1), as_json=True)
    empty = ParseDict(traces(*({} for _ in range(MAX_ITEMS + 1))), ExportTraceServiceRequest())
    with pytest.raises(TooLargeError, match="items"):
        parse_traces(empty.SerializeToString(), as_json=False)


def test_responses_follow_the_protocol(
    client: TestClient, error_settings: Callable[..., None], engine: Engine
) -> None:
    many = traces(*(span(f"GET /{n}", f"{n:016x}") for n in range(MAX_RECORDS + 2)))
    answer = client.post(TRACES, json=many)
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "2"
    empty = client.post(LOGS, content=gzip.compress(b""), headers={**PROTOBUF, "Content-Encoding": "gzip"})
    assert (empty.status_code, empty.headers["Content-Type"]) == (200, PROTOBUF["Content-Type"])
    damaged = client.post(TRACES, content=b"\x0a\xff", headers=PROTOBUF)
    status = ExportTracePartialSuccess.FromString(damaged.content)
    assert (damaged.status_code, status.error_message) == (
        400,
        "the body is not ExportTraceServiceRequest as protobuf",
    )
    assert client.post(TRACES, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    error_settings(sentry_key="k")
    assert client.post(TRACES, json={}).status_code == 403
    named = client.post(TRACES, content=b"", headers={**PROTOBUF, "x-sentry-auth": "sentry sentry_key=k"})
    assert (
        named.status_code,
        ExportTraceServiceResponse.FromString(named.content).HasField("partial_success"),
    ) == (
        200,
        True,
    )
