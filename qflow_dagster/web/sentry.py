"""Errors from any Sentry SDK: the endpoints.

A program sets its DSN to ``http://KEY@HOST:PORT/1`` and needs nothing else. Does not belong here: the formats
(`sentry_events`), storing (`intake`).
"""

import hmac

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.settings import settings
from qflow_dagster.web.encodings import decode_legacy
from qflow_dagster.web.intake import MAX_BODY_BYTES, Envelope, Intake, RefusedError
from qflow_dagster.web.sentry_events import parse_envelope, parse_event

UNKNOWN_KEY = "unknown key: see QFLOW_ERRORS_SENTRY_KEY"


class Sentry:
    """The endpoints for Sentry SDKs."""

    def __init__(self, intake: Intake, *, key_needed: bool) -> None:
        self.intake = intake
        self.key_needed = key_needed

    async def envelope(self, request: Request) -> Response:
        """Receive an envelope (`/api/N/envelope/`), or a bare event (`/api/N/store/`)."""
        if not may_report(request, key_needed=self.key_needed):
            return JSONResponse({"detail": UNKNOWN_KEY}, 403)
        bare = request.url.path.rstrip("/").endswith("/store")
        try:
            envelope = await self.intake.receive(request, _bare_event if bare else parse_envelope)
        except RefusedError as error:
            return JSONResponse({"detail": str(error)}, error.status, error.headers)
        return JSONResponse({"id": envelope.event_id})


def may_report(request: Request, *, key_needed: bool) -> bool:
    """Return whether a request names the configured key, as Sentry SDKs do; without one, whether it needs none."""
    configured = settings().errors.sentry_key
    if configured is None:
        return not key_needed
    key = request.query_params.get("sentry_key", "")
    scheme, _, rest = request.headers.get("X-Sentry-Auth", "").partition(" ")
    for part in (rest if scheme.lower() == "sentry" else f"{scheme} {rest}").split(","):
        name, _, value = part.strip().partition("=")
        key = value if name == "sentry_key" else key
    return hmac.compare_digest(key.encode(), configured.get_secret_value().encode())


def _bare_event(body: bytes) -> Envelope:
    return parse_event(decode_legacy(body, MAX_BODY_BYTES))
