"""Endpoints for monitoring: health for probes, heartbeats of services, metrics.

`live`: this process responds; `ready`: it can work; `deep`: results of the scheduled checks.
Does not belong here: checking (`infrastructure.health_checks`), which metrics there are (`metrics`).
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.database.revisions import current_revision, newest_revision
from qflow_dagster.infrastructure import health_states, services
from qflow_dagster.safety.display import visible_line
from qflow_dagster.web.metrics import scrape

# Seconds for which the status in the header of pages is kept.
STATUS_SECONDS = 5.0


class Monitoring:
    """The health and metrics endpoints, for a database."""

    def __init__(self, engine: Engine, locations: Callable[[], Mapping[str, bool] | None]) -> None:
        self.engine, self.locations = engine, locations
        self._status, self._read_at = "unknown", -STATUS_SECONDS

    def status(self) -> str:
        """Return the overall status for the header of pages: read every few seconds, unknown while no check runs."""
        if time.monotonic() - self._read_at >= STATUS_SECONDS:
            # Other requests show the last one meanwhile; while the database is away, they do not all wait for it.
            self._read_at = time.monotonic()
            self._status = "unknown"
            with suppress(SQLAlchemyError), self.engine.connect() as connection:
                if health_states.is_watched(connection):
                    self._status = health_states.overall(health_states.states(connection))
        return self._status

    def live(self, _request: Request) -> Response:
        """Return 200 while the process responds."""
        return JSONResponse({"status": "healthy"})

    def ready(self, _request: Request) -> Response:
        """Return 200 if the database is migrated and all pages are there, else 503; with Dagster's code locations."""
        try:
            revision = current_revision(self.engine)
        except SQLAlchemyError:
            return JSONResponse({"status": "unhealthy", "message": "the database is away"}, 503)
        if revision != newest_revision():
            return JSONResponse({"status": "unhealthy", "message": "the database is not migrated"}, 503)
        locations = self.locations()
        if locations is None:
            return JSONResponse({"status": "unhealthy", "message": "Dagster is starting"}, 503)
        return JSONResponse({"status": "healthy", "code_locations": dict(locations)})

    def deep(self, _request: Request) -> Response:
        """Return the current status of every check; 503 if one is unhealthy, or the checks no longer run."""
        try:
            with self.engine.connect() as connection:
                states = health_states.states(connection)
                watched = health_states.is_watched(connection)
        except SQLAlchemyError:
            return JSONResponse({"status": "unhealthy", "message": "the database is away"}, 503)
        status = health_states.overall(states)
        checks = [
            {
                "name": visible_line(state["name"]),
                "status": state["status"],
                "message": visible_line(state["message"] or ""),
                "since": state["since"].isoformat(),
            }
            for state in states
        ]
        if not watched:
            message = (
                f"no check ran within {health_states.STALE / 60:.0f} minutes; is Dagster's daemon running?"
            )
            return JSONResponse({"status": "unhealthy", "message": message, "checks": checks}, 503)
        failed = status == "unhealthy" or all(state["status"] == "unknown" for state in states)
        return JSONResponse({"status": status, "checks": checks}, 503 if failed else 200)

    def heartbeat(self, request: Request) -> Response:
        """Record the heartbeat of a service; 404 if the token belongs to none."""
        with self.engine.begin() as connection:
            name = services.receive_heartbeat(connection, request.path_params["token"])
        if name is None:
            return JSONResponse({"detail": "this address belongs to no service"}, 404)
        return JSONResponse({"status": "ok"})

    def metrics(self, request: Request) -> Response:
        """Return all metrics, in Prometheus's or OpenMetrics' text format."""
        content, content_type = scrape(self.engine, request.headers.get("Accept", ""))
        return Response(content, media_type=content_type)
