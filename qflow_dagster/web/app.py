"""The ASGI application: routes and error responses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from qflow_dagster.errors import QflowError
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings
from qflow_dagster.web import api, site
from qflow_dagster.web.access import PUSHES, SLACK, Access, Guard
from qflow_dagster.web.inbox import Inbox
from qflow_dagster.web.intake import Intake
from qflow_dagster.web.monitoring import Monitoring
from qflow_dagster.web.otlp import Otlp
from qflow_dagster.web.pages import FOLDER, error_page
from qflow_dagster.web.pushes import Pushes
from qflow_dagster.web.request_page import RequestPage
from qflow_dagster.web.sentry import Sentry
from qflow_dagster.web.slack import Slack

logger = logs.logger(__name__)


def build_app(
    engine: Engine,
    *,
    host: str,
    pages: Sequence[BaseRoute] = (),
    locations: Callable[[], Mapping[str, bool] | None] = dict,
) -> Starlette:
    """Return the application for a server on `host`, with additional `pages` behind the same guard.

    `locations` returns for each code location of these pages whether it is loaded; None while the pages are built.

    Raises:
        UsageError: `host` is not loopback and no login is configured, or a setting is invalid.
    """
    access = Access(settings().inbox, settings().errors, host)
    inbox, request_page = Inbox(engine), RequestPage(engine)
    monitoring = Monitoring(engine, locations)
    intake = Intake(engine)
    sentry = Sentry(intake, key_needed=not access.loopback)
    otlp = Otlp(intake, key_needed=not access.loopback)
    browsers = Middleware(
        CORSMiddleware,
        allow_origins=access.intake_origins,
        allow_methods=["POST"],
        allow_private_network=True,
        allow_headers=["X-Sentry-Auth", "Content-Encoding", "Content-Type", "sentry-trace", "baggage"],
        expose_headers=["X-Sentry-Rate-Limits", "Retry-After"],
    )
    app = Starlette(
        routes=[
            Route("/favicon.ico", lambda _request: Response(status_code=204)),
            Route("/approvals", inbox.list),
            Route("/approvals/selected", inbox.selected),
            Route("/approvals/selected", inbox.decide, methods=["POST"]),
            Route("/approvals/{id:uuid}", request_page.show),
            Route("/approvals/{id:uuid}", request_page.decide, methods=["POST"]),
            Route("/health/live", monitoring.live),
            Route("/health/ready", monitoring.ready),
            Route("/health/deep", monitoring.deep),
            Route("/health/heartbeats/{token}", monitoring.heartbeat, methods=["GET", "POST"]),
            Route("/metrics", monitoring.metrics),
            Route(SLACK, Slack(engine).interact, methods=["POST"]),
            Route(PUSHES, Pushes(engine).report, methods=["POST"]),
            *api.routes(engine),
            Mount(
                "/api/{project:int}",
                routes=[
                    # A redirect to the path with a slash is not followed by senders.
                    *(
                        Route(path, sentry.envelope, methods=["POST"])
                        for path in ("/envelope/", "/envelope", "/store/", "/store")
                    ),
                    Route("/integration/otlp/v1/traces", otlp.traces, methods=["POST"]),
                    Route("/integration/otlp/v1/logs", otlp.logs, methods=["POST"]),
                ],
                middleware=[browsers],
            ),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
            *site.routes(engine),
            *pages,
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={
            QflowError: _not_found,
            HTTPException: _refused,
            SQLAlchemyError: _database_away,
            Exception: _unforeseen,
        },
    )
    app.state.health = monitoring.status
    return app


def _not_found(request: Request, error: Any) -> Response:
    return error_page(request, "Not found", str(error), 404)


def _refused(request: Request, error: Any) -> Response:
    title = "Not found" if error.status_code == 404 else "Not possible"
    message = f"there is no page {request.url.path}" if error.status_code == 404 else error.detail
    response = error_page(request, title, message, error.status_code)
    response.headers.update(error.headers or {})
    return response


def _database_away(request: Request, error: Any) -> Response:
    logger.error("a page could not be made: %s", type(error).__name__)
    return error_page(
        request, "The database is away", "the database is away; nothing was decided, try again", 503
    )


def _unforeseen(request: Request, error: Any) -> Response:
    logger.error("a page could not be made", exc_info=error)
    return error_page(
        request, "Something went wrong", "something went wrong here; the server's log says what", 500
    )
