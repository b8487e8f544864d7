"""Errors from any OpenTelemetry SDK or collector: the endpoints of OTLP over HTTP for traces and logs.

A program sets ``OTEL_EXPORTER_OTLP_ENDPOINT`` to ``http://HOST:PORT/api/1/integration/otlp``, the path that Sentry
uses. Does not belong here: the content (`otlp_records`), storing (`intake`).
"""

from collections.abc import Callable
from functools import partial

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.web.intake import Envelope, Intake, RefusedError
from qflow_dagster.web.otlp_records import MAX_RECORDS, parse_logs, parse_traces
from qflow_dagster.web.sentry import UNKNOWN_KEY, may_report

JSON, PROTOBUF = "application/json", "application/x-protobuf"


class Otlp:
    """The endpoints for OpenTelemetry."""

    def __init__(self, intake: Intake, *, key_needed: bool) -> None:
        self.intake = intake
        self.key_needed = key_needed

    async def traces(self, request: Request) -> Response:
        """Receive spans (`/v1/traces`): their exceptions are errors, requests without any are successes."""

        def answer(dropped: int, problem: str) -> Message:
            partial_success = ExportTracePartialSuccess(rejected_spans=dropped, error_message=problem)
            return ExportTraceServiceResponse(partial_success=partial_success)

        return await self._receive(request, parse_traces, answer)

    async def logs(self, request: Request) -> Response:
        """Receive log records (`/v1/logs`): those of exceptions are errors."""

        def answer(dropped: int, problem: str) -> Message:
            partial_success = ExportLogsPartialSuccess(rejected_log_records=dropped, error_message=problem)
            return ExportLogsServiceResponse(partial_success=partial_success)

        return await self._receive(request, parse_logs, answer)

    async def _receive(
        self, request: Request, parse: Callable[..., Envelope], answer: Callable[[int, str], Message]
    ) -> Response:
        if not may_report(request, key_needed=self.key_needed):
            return _refusal(request, RefusedError(403, UNKNOWN_KEY))
        content = _content_type(request)
        if content not in (JSON, PROTOBUF):
            return _refusal(request, RefusedError(415, f"Content-Type must be {PROTOBUF} or {JSON}"))
        try:
            envelope = await self.intake.receive(request, partial(parse, as_json=content == JSON))
        except RefusedError as error:
            return _refusal(request, error)
        return _answer(request, answer(len(envelope.problems), _dropped(envelope)))


def _dropped(envelope: Envelope) -> str:
    if not envelope.problems:
        return ""
    return f"{envelope.problems[0]}; a request holds at most {MAX_RECORDS} of them, send smaller batches"


def _content_type(request: Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _answer(request: Request, message: Message) -> Response:
    if _content_type(request) == JSON:
        return JSONResponse(MessageToDict(message))
    return Response(message.SerializeToString(), media_type=PROTOBUF)


def _refusal(request: Request, error: RefusedError) -> Response:
    if _content_type(request) != PROTOBUF:
        return JSONResponse({"message": str(error)}, error.status, error.headers)
    # The protocol wants a google.rpc.Status, whose message has the number of this field.
    status = ExportTracePartialSuccess(error_message=str(error))
    return Response(status.SerializeToString(), error.status, error.headers, PROTOBUF)
